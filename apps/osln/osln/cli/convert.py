"""Convert the public LesaNet checkpoint (2018, torch 0.4.1) into weights that OSLN Label loads.

The checkpoint is not part of this software; LesaNet's authors tell where to get it
(github.com/rsummers11/CADLab, folder LesaNet). It is read without executing anything that it contains, and
only the weights are kept. Give the result to the server: --conf lesanet OUT.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from osln.tagging.published_checkpoint import read_state_dict
from osln.tagging.tagger import PUBLIC, Tagger, lesanet_of, save_tagger


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert as asked; 0 if the weights were written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="LesaNet_epoch_15.pth.tar as downloaded")
    parser.add_argument("out", type=Path, help="file to write, for example lesanet.safetensors")
    options = parser.parse_args(arguments)
    try:
        tagger = convert(options.checkpoint, options.out)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    about = tagger.describe()
    sys.stdout.write(f"{about['origin']} written to {options.out}, sha256 {about['sha256']}\n")
    return 0


def convert(checkpoint: Path, out: Path) -> Tagger:
    """Write the checkpoint's weights to `out` and load them from there.

    Raises:
        ValueError: If the checkpoint is none, asks for a call, or its tensors are not LesaNet's.
        OSError: If `out` cannot be written.
    """
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


if __name__ == "__main__":
    sys.exit(main())
