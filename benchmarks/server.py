"""Times what a user waits for at the real server: its start, the first request, and the ones after it."""

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from monailabel.client import MONAILabelClient

from benchmarks.patient import CASE, write_patient
from local_server import LocalServer

SAMPLES = Path(__file__).resolve().parents[1] / "sample-datastore"
ROW = "osln"


def measure_server(models: Path, repeats: int = 5, seed: int = 0) -> dict[str, Any]:
    """Starts the server on copies of the sample cases and of the benchmark's patient, and asks it.

    Args:
        models: Folder of weights.
        repeats: Requests per case after the first one.
        seed: Of the benchmark's patient.

    Returns:
        Seconds, as a client on the same computer sees them: `start` (until `/info/` answers),
        `first_request` (a sample case, the very first inference), `sample_case` and `whole_patient`
        (medians of the later ones).
    """
    with tempfile.TemporaryDirectory(prefix="osln-benchmark-") as folder:
        studies = Path(folder) / "studies"
        sample = min(SAMPLES.glob("*.nii.gz")).name
        for part in ("", "pet", "labels/gtv"):
            (studies / part).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SAMPLES / part / sample, studies / part / sample)
        write_patient(studies, seed)
        with LocalServer(studies, Path(folder) / "server.log", {"models": str(models)}) as server:
            client = MONAILabelClient(server.url, folder)

            def seconds(case: str) -> float:
                begun = time.perf_counter()
                label, _ = client.infer(ROW, case, params={})
                Path(label).unlink()
                return time.perf_counter() - begun

            case = sample.removesuffix(".nii.gz")
            first = seconds(case)
            later = median(seconds(case) for _ in range(repeats))
            seconds(CASE)
            whole = median(seconds(CASE) for _ in range(repeats))
            return {
                "start": round(server.start_seconds, 2),
                "first_request": round(first, 2),
                "sample_case": round(later, 2),
                "whole_patient": round(whole, 2),
            }
