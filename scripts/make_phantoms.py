"""Make synthetic CT + PET cases, or count what a cohort contains."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps" / "osln"))

from osln.phantom import PhantomParameters, make_phantom  # noqa: E402
from osln.phantom.counts import case_counts, counts_table  # noqa: E402


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, metavar="N", help="only print the counts of N patients")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case; case i has seed + i")
    arguments = parser.parse_args()
    if arguments.counts:
        seeds = tqdm(range(arguments.seed, arguments.seed + arguments.counts), unit="case")
        for name, value in counts_table((case_counts(make_phantom(s)) for s in seeds), PhantomParameters()):
            sys.stdout.write(f"{name:50s} {value}\n")


if __name__ == "__main__":
    main()
