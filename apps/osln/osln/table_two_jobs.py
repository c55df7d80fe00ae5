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
from osln.experiments import CLASSIFIERS, PRESETS, SERVED_CLASSIFIERS
from osln.grid import Volume
from osln.imagefile import write_atomically
from osln.jobs import Job, tell
from osln.matching import Scored
from osln.operating import score_thresholds
from osln.table_two import ROWS, Row, trained_rows
from osln.table_two_report import Measured, count_candidates
from osln.table_two_sets import STAGE_ONE_ROWS, PhantomSets
from osln.tagger import Tagger
from osln.training import Progress
from osln.weights import ModelStore, add_shipped

SPLITS = ("stage two", "validation", "test")
EVALUATED = ("validation", "test")
SHIPPED_SETTING = "lf-stratified"
"""Candidates that the shipped classifiers have learned from: those of the paper's method."""
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
        told = f"-{_checksum(self.tagger)}" if row.reads_tags else ""
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
    wanted = plan.seeds_of(split)[start : start + CHUNK]
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
    if not row.reads_tags:
        return sets, None
    return sets, [np.load(tags_path(plan, row.stage_one, seed)) for seed in seeds]


def weights_path(plan: Plan, row: Row, seed: int) -> Path:
    """File of a trained classifier."""
    return plan.folder(row) / f"seed{seed}.pt"


def train_row(plan: Plan, row: Row, seed: int) -> None:
    """Train the classifier of a row, keep it, and keep its scores of the evaluated patients."""
    if row.classifier is None:
        raise ValueError(f"{row.name} has nothing to train: it ends with the stage-one score")
    path = weights_path(plan, row, seed)
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
    trained = Row(row.stage_one, row.classifier)
    stored = json.loads(weights_path(plan, trained, seed).with_suffix(".json").read_text())[split]
    found = [np.array(scores) for scores in stored]
    if row.joint:
        found = [_logit(new) + _logit(one.stage_one_scores) for one, new in zip(sets, found, strict=True)]
    return [one.scored(scores) for one, scores in zip(sets, found, strict=True)]


def _logit(probability: np.ndarray) -> np.ndarray:
    """Log odds; probabilities that are 0 or 1 in single precision stay finite."""
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))


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


def measured(plan: Plan) -> Measured:
    """Everything that the report tells, from the files of the finished jobs."""
    rows = {
        split: {
            name: [row_patients(plan, row, seed, split) for seed in range(plan.seeds)]
            for name, row in ROWS.items()
        }
        for split in EVALUATED
    }
    return Measured(
        command=plan.command,
        sizes=plan.sizes,
        epochs=plan.epochs,
        seeds=plan.seeds,
        phantom=plan.sets.cohort.folder.name,
        tagger=Tagger.load(plan.tagger).describe(),
        candidates={
            setting: {split: _count(plan, setting, split) for split in SPLITS} for setting in STAGE_ONE_ROWS
        },
        test=rows["test"],
        validation=rows["validation"],
        trainings={
            f"{row.name} seed {seed}": dict(load_checkpoint(weights_path(plan, row, seed)).metadata)
            for row, seed in trained_rows(plan.seeds)
        },
    )


def ship(plan: Plan, folder: str) -> None:
    """Put the classifiers of late fusion's candidates, first training, beside the shipped stage-one weights.

    The operating points are those of the validation phantoms. The tagger goes with them, because a
    classifier that reads tags understands those of its own tagger only.
    """
    rows = {name: Row(SHIPPED_SETTING, name) for name in SERVED_CLASSIFIERS}
    add_shipped(
        Path(folder),
        {name: load_checkpoint(weights_path(plan, row, 0)) for name, row in rows.items()},
        {name: score_thresholds(row_patients(plan, row, 0, "validation")) for name, row in rows.items()},
        (Path(plan.tagger), Tagger.load(plan.tagger).describe()),
        plan.command,
    )


def _count(plan: Plan, setting: str, split: str) -> dict[str, float]:
    sets = plan.sets.read(setting, plan.seeds_of(split))
    return count_candidates([one.scored() for one in sets], [one.n_candidates for one in sets])


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
        jobs[f"{row.name} seed {seed}"] = Job(train_row, (row, seed), made + (tags if row.reads_tags else ()))
    return jobs
