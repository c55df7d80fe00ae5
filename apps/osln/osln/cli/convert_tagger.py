"""Convert the public LesaNet checkpoint (2018, torch 0.4.1) into weights that OSLN Label loads.

The checkpoint is not part of this software; LesaNet's authors tell where to get it
(github.com/rsummers11/CADLab, folder LesaNet). It is read without executing anything that it contains, and
only the weights are kept. --publish puts the result into use; a file can also be named to the server
(--conf lesanet OUT).
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import MODELS, add_out, command

if TYPE_CHECKING:
    from osln.tagging.tagger import Tagger


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(
        commands, "convert-tagger", __doc__, "LesaNet_epoch_15.pth.tar --out lesanet.safetensors"
    )
    parser.add_argument("checkpoint", type=Path, help="LesaNet_epoch_15.pth.tar as downloaded")
    add_out(parser, "file to write, for example lesanet.safetensors", required=False)
    parser.add_argument("--publish", action="store_true", help="store a version and put it into use")
    parser.add_argument("--models", type=Path, default=MODELS, help="with --publish: folder of the versions")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Convert and tell what was written."""
    from osln.tagging.tagger import publish_tagger
    from osln.weights.model_store import ModelStore

    if options.out is None and not options.publish:
        raise ValueError("name a file to write (--out FILE) or give --publish")
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "lesanet.safetensors"
        about, name = convert(options.checkpoint, out).describe(), options.out
        if options.publish:
            name = f"lesanet {publish_tagger(ModelStore(options.models), out).name}"
    sys.stdout.write(f"{about['origin']} written to {name}, sha256 {about['sha256']}\n")
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
