"""Cases as artifacts: a worker loads the networks once and keeps them for its next case."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from osln.jobs.artifact import Artifact
from osln.jobs.worker import device, tell
from osln.output.cases import Case
from osln.output.running import Outcome, run_cases
from osln.output.writing import Wanted
from osln.pipeline import Pipeline, load_pipeline
from osln.weights.model_store import ModelStore

SECONDS = 5.0
"""About what one core takes for a case; for the bar alone."""


@dataclass(frozen=True)
class Networks:
    """What `load_pipeline` loads, wherever it is asked.

    Attributes:
        models: Folder of the versions.
        row: Name in `ROWS`.
        point: Name of the operating point, None for the default.
        score: Instead of `point`; 0 leaves it to that.
        tagger: File of the tagger; None for the published one.
    """

    models: Path
    row: str
    point: str | None = None
    score: float = 0.0
    tagger: Path | None = None

    def load(self, device: str) -> Pipeline:
        """The networks on a device; errors as of `load_pipeline`."""
        given = {"point": self.point, "score": self.score, "tagger": self.tagger}
        return load_pipeline(ModelStore(self.models), self.row, **given, device=device)  # type: ignore[arg-type]


def case_artifacts(
    cases: Sequence[Case], networks: Networks, wanted: Wanted, *, overwrite: bool
) -> list[Artifact]:
    """One for each case, whose value is its `Outcome`; whether it was done before is found out there."""
    return [
        Artifact(case.name, (), (), partial(detect_case, case, networks, wanted, overwrite), SECONDS, True)
        for case in cases
    ]


def detect_case(case: Case, networks: Networks, wanted: Wanted, overwrite: bool) -> Outcome:
    """Finds the nodes of a case in a worker; one that fails is an outcome, too."""

    def told(words: str, share: float) -> None:
        tell(share, words)

    (outcome,) = run_cases([case], _kept(networks, device()), wanted, overwrite=overwrite, tell=told)
    return outcome


@lru_cache(maxsize=1)
def _kept(networks: Networks, device: str) -> Pipeline:
    return networks.load(device)
