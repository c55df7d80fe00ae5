"""Convert the public LesaNet checkpoint (2018, torch 0.4.1) into weights that OSLN Label loads.

The checkpoint is not part of this software; LesaNet's authors tell where to get it
(github.com/rsummers11/CADLab, folder LesaNet). It is read without executing anything that it contains, and
only the weights are kept. Give the result to the server: ./scripts/serve --conf lesanet OUT
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_out, command

if TYPE_CHECKING:
    from osln.tagging.tagger import Tagger


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(
        commands, "convert-tagger", __doc__, "LesaNet_epoch_15.pth.tar --out lesanet.safetensors"
    )
    parser.add_argument("checkpoint", type=Path, help="LesaNet_epoch_15.pth.tar as downloaded")
    add_out(parser, "file to write, for example lesanet.safetensors")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Convert and tell what was written."""
    about = convert(options.checkpoint, options.out).describe()
    sys.stdout.write(f"{about['origin']} written to {options.out}, sha256 {about['sha256']}\n")
    return 0


def convert(checkpoint: Path, out: Path) -> "Tagger":
    """Write the checkpoint's weights to `out` and load them from there.

    Raises:
        ValueError: If the checkpoint is none, asks for a call, or its tensors are not LesaNet's.
        OSError: If `out` cannot be written.
    """
    from osln.tagging.published_checkpoint import read_state_dict
    from osln.tagging.tagger import PUBLIC, Tagger, lesanet_of, save_tagger

    state = read_state_dict(checkpoint)
    # A network that was trained on several GPUs has this before all names.
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    try:
        network = lesanet_of(state)
    except ValueError as error:
        raise ValueError(f"{checkpoint.name}: {error}") from error
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    save_tagger(out, network, {"origin": PUBLIC, "trained_on": "DeepLesion", "checkpoint_sha256": digest})
    return Tagger.load(out)
