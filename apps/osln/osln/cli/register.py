"""Bring a PET of another day onto a planning CT: writes the PET, the transform, the figures and a picture."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from osln.cli.options import add_out, command, refuse_overwriting
from osln.cli.progress import shares

PET, TRANSFORM, FIGURES, PICTURE = "pet.nii.gz", "ct_to_pet.h5", "registration.json", "registration.png"
"""What is written."""


def add_parser(commands: Any) -> None:
    """The options."""
    example = "--ct ct.nii.gz --pet pet.nii.gz --pet-ct pet_ct.nii.gz --out registered"
    parser = command(commands, "register", __doc__, example)
    parser.add_argument("--ct", type=Path, required=True, help="planning CT in HU (NIfTI, NRRD, MetaImage)")
    parser.add_argument("--pet", type=Path, required=True, help="PET in SUV")
    parser.add_argument("--pet-ct", type=Path, help="CT of the PET/CT; without it the motion is rigid")
    add_out(parser, "folder to write into")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Register, write, and show the figures, which are JSON."""
    folder: Path = options.out
    places = [folder / name for name in (PET, TRANSFORM, FIGURES, PICTURE)]
    refuse_overwriting(places, [one for one in (options.ct, options.pet, options.pet_ct) if one])
    import SimpleITK as sitk

    from osln.files.whole import write_atomically
    from osln.imaging.grid import read_volume, write_volume
    from osln.pictures import save_picture
    from osln.registration import register_pet
    from osln.registration.overlay import draw_registration

    ct, pet = read_volume(options.ct), read_volume(options.pet)
    pet_ct = read_volume(options.pet_ct) if options.pet_ct else None
    with shares() as tell:
        result = register_pet(ct, pet, pet_ct, on_progress=lambda share, words: tell(words, share))
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / PET, result.pet.array, result.pet.grid)
    sitk.WriteTransform(result.transform, str(folder / TRANSFORM))
    figures = json.dumps(asdict(result.quality) | {"warnings": result.warnings}, indent=1) + "\n"
    write_atomically(folder / FIGURES, figures.encode())
    if pet_ct is not None:
        title = f"{options.ct.name}: {result.quality.method}"
        save_picture(draw_registration(ct, pet_ct, result.transform, title), folder / PICTURE)
    else:
        # One of an earlier run shows another motion.
        (folder / PICTURE).unlink(missing_ok=True)
    sys.stdout.write(figures)
    return 0
