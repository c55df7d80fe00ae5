"""Brings a PET of another day onto a planning CT: writes the PET, the transform, the figures and a picture.

./scripts/osln register --ct ct.nii.gz --pet pet.nii.gz --pet-ct pet_ct.nii.gz --output FOLDER
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import SimpleITK as sitk

from osln.files.images import write_atomically
from osln.imaging.grid import read_volume, write_volume
from osln.pictures import save_picture
from osln.registration import register_pet
from osln.registration.overlay import draw_registration


def main() -> None:
    """Registers and writes; errors are one sentence and exit status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ct", type=Path, required=True, help="planning CT in HU (NIfTI, NRRD, MetaImage)")
    parser.add_argument("--pet", type=Path, required=True, help="PET in SUV")
    parser.add_argument("--pet-ct", type=Path, help="CT of the PET/CT; without it the motion is rigid")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    options = parser.parse_args()
    try:
        ct, pet = read_volume(options.ct), read_volume(options.pet)
        pet_ct = read_volume(options.pet_ct) if options.pet_ct else None
        result = register_pet(ct, pet, pet_ct, on_progress=_tell)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / "pet.nii.gz", result.pet.array, result.pet.grid)
    sitk.WriteTransform(result.transform, str(folder / "ct_to_pet.h5"))
    figures = asdict(result.quality) | {"warnings": result.warnings}
    write_atomically(folder / "registration.json", (json.dumps(figures, indent=1) + "\n").encode())
    if pet_ct is not None:
        title = f"{options.ct.name}: {result.quality.method}"
        save_picture(draw_registration(ct, pet_ct, result.transform, title), folder / "registration.png")
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def _tell(share: float, words: str) -> None:
    sys.stderr.write(f"{100 * share:3.0f} % {words}\n")


if __name__ == "__main__":
    main()
