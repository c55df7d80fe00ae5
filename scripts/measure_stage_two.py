"""Measures Table 2 on phantoms: what scores the candidates of each setting of stage one.

Makes the candidates of extra phantoms with the stage-one weights in use, asks the tagger for their tags,
trains every classifier of the table, evaluates on held-out phantoms, and writes docs/stage-two.md and a JSON
file beside it. Everything lies under --work, so that a run that was stopped goes on where it was. The
classifiers of late fusion's candidates become the shipped weights with --ship.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps" / "osln"))

from filelock import FileLock, Timeout

from osln.experiments import PRESETS
from osln.jobs import run_jobs
from osln.table_two import trained_rows
from osln.table_two_jobs import Plan, jobs_of, measured, ship
from osln.table_two_report import write_report

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "apps" / "osln" / "model"
SHIPPED = MODELS / "shipped"
"""Where the weights that come with the software lie."""


def main() -> None:
    """Measure, write the report, ship the weights if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, default=320, help="training phantoms of stage two")
    parser.add_argument("--validation", type=int, default=60, help="validation phantoms")
    parser.add_argument("--test", type=int, default=96, help="test phantoms")
    parser.add_argument(
        "--epochs", type=int, default=PRESETS["demo"].stage_two.epochs, help="passes of a training"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row")
    parser.add_argument("--processes", type=int, default=2, help="worker processes of one thread each")
    parser.add_argument("--work", type=Path, default=Path(".osln-measure"), help="folder for everything made")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the stage-one weights")
    parser.add_argument(
        "--tagger", type=Path, default=SHIPPED / "lesanet.safetensors", help="file of LesaNet"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "stage-two.md", help="report to write")
    parser.add_argument(
        "--ship", type=Path, nargs="?", const=SHIPPED, help="add the weights of seed 0 to those there"
    )
    options = parser.parse_args()
    if not options.tagger.is_file():
        parser.error(f"no tagger at {options.tagger}: make one with scripts/train_lesanet.py")
    sizes = {"stage two": options.train, "validation": options.validation, "test": options.test}
    command = " ".join(["scripts/measure_stage_two.py", *sys.argv[1:]])
    places = (str(options.work), str(options.models), str(options.tagger))
    plan = Plan(*places, sizes, options.epochs, options.seeds, command)
    options.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        with FileLock(options.work / "lock", timeout=0):
            steps = options.epochs * len(trained_rows(options.seeds))
            run_jobs(jobs_of(plan), plan, options.processes, steps)
            if options.ship is not None:
                ship(plan, str(options.ship))
    except Timeout:
        parser.error(f"another measurement is running in {options.work}: wait for it or give another --work")
    write_report(measured(plan), options.output)
    sys.stdout.write(f"{options.output} written after {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
