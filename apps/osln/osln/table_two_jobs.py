"""The work of the stage-two experiment, cut into jobs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osln.candidate_sets import CandidateSet
from osln.checkpoint import load_checkpoint, save_checkpoint
from osln.classification import CandidateScorer
from osln.classifier_training import train_classifier
from osln.cohort import PhantomCohort, split_seeds
from osln.experiments import CLASSIFIERS, PRESETS
from osln.grid import Volume
from osln.imagefile import write_atomically
from osln.jobs import Job, tell
from osln.matching import Scored
from osln.table_two import Row, trained_rows
from osln.table_two_sets import STAGE_ONE_ROWS, PhantomSets
from osln.tagger import Tagger
from osln.training import Progress
from osln.weights import ModelStore

SPLITS = ("stage two", "validation", "test")
EVALUATED = ("validation", "test")
CHUNK = 16
"""Phantoms of one job."""


@dataclass(frozen=True)
class Plan:
    """What is measured; the same in every process.

    Attributes:
        work: Folder for everything made.
        models: Folder of the stage-one weights.
        tagger: File of the tagger.
        sizes: Patients by split; those of "stage two" train the classifiers and no other network.
        epochs: Passes of a training through its candidates.
        seeds: Trainings of each row.
        command: As typed.
    """

    work: str
    models: str
    tagger: str
    sizes: dict[str, int]
    epochs: int
    seeds: int
    command: str = ""

    @property
    def sets(self) -> PhantomSets:
        return PhantomSets(PhantomCohort(Path(self.work), PRESETS["demo"]), ModelStore(self.models))

    def folder(self, row: Row) -> Path:
        """Networks and scores of a row."""
        reads_tags = row.classifier is not None and CLASSIFIERS[row.classifier].tags
        told = f"-{_checksum(self.tagger)}" if reads_tags else ""
        stage_two = PRESETS["demo"].stage_two
        recipe = f"{self.sizes['stage two']}-{self.epochs}-{'-'.join(map(str, stage_two.widths))}"
        return self.sets.folder / f"{row.name}-{recipe}{told}"

    def seeds_of(self, split: str) -> range:
        return split_seeds(split, self.sizes[split])


def make_sets(plan: Plan, split: str, start: int) -> None:
    """Make some phantoms and their candidates in every setting of stage one."""
    plan.sets.make(plan.seeds_of(split)[start : start + CHUNK], add_nodes=split == "stage two")


def make_tags(plan: Plan, setting: str, split: str, start: int) -> None:
    """Ask the tagger for the candidates of some phantoms."""
    wanted = [seed for seed in plan.seeds_of(split)[start : start + CHUNK]]
    missing = [seed for seed in wanted if not tags_path(plan, setting, seed).is_file()]
    if not missing:
        return
    tagger = Tagger.load(plan.tagger, precision="f32")
    for seed, content in zip(missing, plan.sets.read(setting, missing), strict=True):
        column = plan.sets.cohort.patient(seed).column
        found = tagger.tag_lesions(Volume(column.ct_hu, column.grid, column.grid), content.lesions)
        path = tags_path(plan, setting, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        np.save(temporary, found.astype(np.float16))
        temporary.replace(path)


def tags_path(plan: Plan, setting: str, seed: int) -> Path:
    """File of the tags of one phantom's candidates."""
    return plan.sets.folder / f"tags-{_checksum(plan.tagger)}" / setting / f"{seed}.npy"


def read_patients(plan: Plan, row: Row, split: str) -> tuple[list[CandidateSet], list[np.ndarray] | None]:
    """Candidates and, if the row's classifier reads them, tags of a split."""
    seeds = plan.seeds_of(split)
    sets = plan.sets.read(row.stage_one, seeds)
    if row.classifier is None or not CLASSIFIERS[row.classifier].tags:
        return sets, None
    return sets, [np.load(tags_path(plan, row.stage_one, seed)) for seed in seeds]


def train_row(plan: Plan, row: Row, seed: int) -> None:
    """Train the classifier of a row, keep it, and keep its scores of the evaluated patients."""
    assert row.classifier is not None
    path = plan.folder(row) / f"seed{seed}.pt"
    name = f"{row.name} seed {seed}"
    if not path.is_file():
        sets, tags = read_patients(plan, row, "stage two")

        def report(state: Progress) -> None:
            tell(name, 1, state.loss)

        checkpoint = train_classifier(
            CLASSIFIERS[row.classifier],
            PRESETS["demo"],
            sets,
            tags,
            epochs=plan.epochs,
            seed=seed,
            tagger=Tagger.load(plan.tagger).describe() if tags is not None else None,
            trained_on="phantom",
            resume_path=path.with_suffix(".resume"),
            on_progress=report,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, checkpoint)
        path.with_suffix(".resume").unlink(missing_ok=True)
    else:
        tell(name, plan.epochs, None)
    target = path.with_suffix(".json")
    if not target.is_file():
        scorer = CandidateScorer(load_checkpoint(path), precision="f32")
        found = {split: _scores(scorer, *read_patients(plan, row, split)) for split in EVALUATED}
        write_atomically(target, json.dumps(found).encode())


def row_patients(plan: Plan, row: Row, seed: int, split: str) -> list[Scored]:
    """The (score, hit) pairs of a row on the patients of a split."""
    sets, _ = read_patients(plan, Row(row.stage_one, None), split)
    if row.classifier is None:
        return [one.scored() for one in sets]
    stored = json.loads((plan.folder(row) / f"seed{seed}.json").read_text())[split]
    return [one.scored(np.array(scores)) for one, scores in zip(sets, stored, strict=True)]


def _scores(
    scorer: CandidateScorer, sets: list[CandidateSet], tags: list[np.ndarray] | None
) -> list[list[float]]:
    """Scores of every patient's candidates."""
    given: list[Any] = [None] * len(sets) if tags is None else tags
    return [
        scorer.scores(one.patches.first(one.n_candidates), None if told is None else told[: one.n_candidates])
        .astype(float)
        .tolist()
        for one, told in zip(sets, given, strict=True)
    ]


def _checksum(path: str) -> str:
    return Tagger.checksum(path)[:12]


def jobs_of(plan: Plan) -> dict[str, Job]:
    """Every job by name, the most wanted first."""
    jobs: dict[str, Job] = {}
    chunks = [(split, start) for split in SPLITS for start in range(0, plan.sizes[split], CHUNK)]
    for split, start in chunks:
        jobs[f"candidates {split} {start}"] = Job(make_sets, (split, start), ())
    made = tuple(jobs)
    for setting in STAGE_ONE_ROWS:
        for split, start in chunks:
            needed = (f"candidates {split} {start}",)
            jobs[f"tags {setting} {split} {start}"] = Job(make_tags, (setting, split, start), needed)
    for row, seed in trained_rows(plan.seeds):
        tags = tuple(name for name in jobs if name.startswith(f"tags {row.stage_one} "))
        reads_tags = row.classifier is not None and CLASSIFIERS[row.classifier].tags
        jobs[f"{row.name} seed {seed}"] = Job(train_row, (row, seed), made + (tags if reads_tags else ()))
    return jobs
