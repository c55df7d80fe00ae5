"""What a run of the tables is made of, and where each part of it is kept.

Everything lies under one folder in files whose names hold a key of all that they depend on: the cohort's
files, the recipe, the seed, and the keys of what they are made from. So tables, runs and later runs with
other sizes share what is equal, and nothing old is ever taken for new.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from osln.cohorts.cohort import Cohort
from osln.rows.detectors import DETECTOR_RECIPES, DETECTORS
from osln.rows.experiments import CLASSIFIERS, SEGMENTERS, Preset
from osln.rows.lines import STAGE_ONE_ROWS, Row
from osln.rows.paper import rows_of
from osln.tagging.tagger import Tagger

FORMAT = 1
"""Of everything that is kept here; another one makes it anew."""
EVALUATED = ("validation", "test")


@dataclass(frozen=True)
class Network:
    """One training of stage one.

    Attributes:
        segmenter: Row of `SEGMENTERS`.
        length: Training steps in units of the preset's.
        seed: Of first weights and patches.
        left_out: Training cases that it does not see.
    """

    segmenter: str
    length: int
    seed: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is run; the same in every process.

    Attributes:
        work: Folder for everything made.
        cohort: The patients.
        preset: Sizes and recipes.
        tables: Names in `TABLES`.
        seeds: Trainings of each network.
        tagger: File of the tagger.
        command: As typed.
        detector_iterations: Training steps of an end-to-end detector; its recipe's if None.
    """

    work: Path
    cohort: Cohort
    preset: Preset
    tables: tuple[str, ...]
    seeds: int
    tagger: Path
    command: str = ""
    detector_iterations: int | None = None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        return rows_of(self.tables)

    @cached_property
    def tagger_sha256(self) -> str:
        return Tagger.checksum(self.tagger)

    def networks(self, row: Row, seed: int, left_out: tuple[str, ...] = ()) -> list[Network]:
        """The trainings whose maps are fused to the row's, for one of the run's seeds.

        Copies take the seeds that follow: the second of two CT networks is the first of the next seed.
        """
        return [
            Network(name, row.length, seed + copy, left_out)
            for copy in range(row.copies)
            for name in STAGE_ONE_ROWS[row.stage_one].segmenters
        ]

    def steps(self, network: Network) -> int:
        """Training steps of a network."""
        return network.length * self.preset.iterations

    def learned_cases(self, network: Network) -> list[str]:
        """Cases that a network learns from."""
        return [case for case in self.cohort.cases("train") if case not in network.left_out]

    def network_folder(self, network: Network) -> Path:
        """Weights and maps of a network."""
        return self._once(("network", network), lambda: self._network_folder(network))

    def _network_folder(self, network: Network) -> Path:
        recipe = {name: value for name, value in asdict(self.preset).items() if name != "stage_two"}
        key = _key(
            asdict(SEGMENTERS[network.segmenter]),
            recipe,
            self.steps(network),
            network.seed,
            self._marks(self.learned_cases(network)),
        )
        return self.work / "networks" / f"{network.segmenter}-x{network.length}-seed{network.seed}-{key}"

    def weights_path(self, network: Network) -> Path:
        """File of a trained network."""
        return self.network_folder(network) / "weights.pt"

    def map_path(self, network: Network, case: str, turns: int = 1) -> Path:
        """File of a network's map of a case, or of the mean over so many turned views of it."""
        folder = "maps" if turns == 1 else f"maps-of-{turns}-turns"
        return self.network_folder(network) / folder / f"{self._file_name(case)}.npz"

    def setting_folder(self, row: Row, seed: int) -> Path:
        """Counts and candidates of what a row's networks give together."""
        return self._once(("setting", row.setting, seed), lambda: self._setting_folder(row, seed))

    def _setting_folder(self, row: Row, seed: int) -> Path:
        keys = [self.network_folder(network).name for network in self.networks(row, seed)]
        marks = [self._marks(self.cohort.cases(split)) for split in EVALUATED]
        key = _key(keys, row.turns, *marks)
        return self.work / "settings" / f"{row.setting.name}-seed{seed}-{key}"

    def counts_path(self, row: Row, seed: int) -> Path:
        """Counts of the fused maps of the evaluated patients."""
        return self.setting_folder(row, seed) / "counts.npz"

    def candidates_path(self, row: Row, seed: int, case: str) -> Path:
        """Candidates of a case; of "stage two" those of networks that have not seen it."""
        left_out = self._unseen(case)
        cut = self._once(("cut", row.setting, seed, left_out), lambda: self._cut(row, seed, left_out))
        return self.setting_folder(row, seed) / f"candidates-{cut}" / f"{self._file_name(case)}.npz"

    def _cut(self, row: Row, seed: int, left_out: tuple[str, ...]) -> str:
        asked = self.networks(row, seed, left_out)
        return _key([self.network_folder(network).name for network in asked], asdict(self.preset.stage_two))

    def tags_path(self, row: Row, seed: int, case: str) -> Path:
        """Tags of a case's candidates."""
        candidates = self.candidates_path(row, seed, case)
        return candidates.with_name(f"{candidates.stem}-tags-{self.tagger_sha256[:12]}.npy")

    def row_folder(self, row: Row, seed: int) -> Path:
        """Weights of a row's classifier; the same for its joint row and that of turned views."""
        row = row.teacher
        return self._once(("row", row, seed), lambda: self._row_folder(row, str(row.classifier), seed))

    def _row_folder(self, row: Row, name: str, seed: int) -> Path:
        classifier = CLASSIFIERS[name]
        learned = [self.candidates_path(row, seed, case) for case in self.cohort.cases("stage two")]
        key = _key(
            asdict(classifier),
            asdict(self.preset.stage_two),
            [str(path.relative_to(self.work)) for path in learned],
            self.tagger_sha256 if classifier.tags else "",
        )
        return self.work / "classifiers" / f"{row.setting.name}+{name}-seed{seed}-{key}"

    def classifier_path(self, row: Row, seed: int) -> Path:
        """File of a trained classifier."""
        return self.row_folder(row, seed) / "weights.pt"

    def scores_path(self, row: Row, seed: int) -> Path:
        """Scores that it gives to the evaluated patients' candidates in the row's setting."""
        return self.row_folder(row, seed) / f"scores-{self.setting_folder(row, seed).name}.json"

    def detector_folder(self, row: Row, seed: int) -> Path:
        """Weights and findings of an end-to-end detector."""
        return self._once(("detector", row.detector, seed), lambda: self._detector_folder(row, seed))

    def _detector_folder(self, row: Row, seed: int) -> Path:
        recipe = asdict(DETECTOR_RECIPES[self.preset.name])
        key = _key(
            asdict(DETECTORS[str(row.detector)]),
            recipe | {"iterations": self.detector_steps},
            (self.preset.spacing_mm, self.preset.window),
            *(self._marks(self.cohort.cases(split)) for split in ("train", *EVALUATED)),
        )
        return self.work / "detectors" / f"{row.detector}-seed{seed}-{key}"

    @property
    def detector_steps(self) -> int:
        """Training steps of an end-to-end detector."""
        return self.detector_iterations or DETECTOR_RECIPES[self.preset.name].iterations

    def detector_path(self, row: Row, seed: int) -> Path:
        """File of a trained detector."""
        return self.detector_folder(row, seed) / "weights.pt"

    def found_path(self, row: Row, seed: int) -> Path:
        """What it finds in the evaluated patients."""
        return self.detector_folder(row, seed) / "found.json"

    def unseen(self, row: Row, seed: int, case: str) -> list[Network]:
        """The trainings whose maps give the candidates of a case of any split."""
        return self.networks(row, seed, self._unseen(case))

    def _unseen(self, case: str) -> tuple[str, ...]:
        return self.cohort.unseen_part(case) if case in self._taught else ()

    def _once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once: keys of hundreds of cases are asked for thousands of times."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def _made(self) -> dict[Hashable, Any]:
        return {}

    @cached_property
    def _taught(self) -> frozenset[str]:
        return frozenset(self.cohort.cases("stage two"))

    def _file_name(self, case: str) -> str:
        mark = self._once(("case", case), lambda: _key(self.cohort.fingerprint(case))[:8])
        return f"{case}-{mark}"

    def _marks(self, cases: Sequence[str]) -> list[str]:
        return [self.cohort.fingerprint(case) for case in cases]


def _key(*content: Any) -> str:
    text = json.dumps([FORMAT, *content], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
