"""What `benchmarks.tags` makes: lesions, taggers, tags and scores, each a function of files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from osln.cohorts.phantoms import PhantomCohort, Spacing, fine_ct
from osln.files.arrays import write_array, write_json
from osln.jobs.worker import device, tell, tell_training
from osln.phantom import PhantomParameters
from osln.phantom.findings.findings import Deposit
from osln.phantom.patient.plan import plan_patient
from osln.rows.experiments import CLASSIFIERS
from osln.rows.tagger_recipe import TaggerRecipe
from osln.rows.tags import TAG_CLASSES, TAG_INDEX, TAG_NAMES
from osln.simulation.cases import DEMO
from osln.stage_two.candidate_sets import CandidateSet, load_set
from osln.stage_two.scoring import CandidateScorer
from osln.stage_two.training import train_classifier
from osln.tagging.lesion_set import LesionSet
from osln.tagging.phantom_lesions import cohort_lesions
from osln.tagging.tagger import PHANTOM, Tagger, save_tagger
from osln.tagging.training import train_tagger

GRIDS: Mapping[str, Spacing] = {"working": DEMO.spacing_mm, "fine": (1.0, 1.0, 2.0)}
"""Voxels in mm that phantoms are imaged in. LesaNet's image has pixels of 1 mm and slices 2 mm apart."""
NEAR_MM = 3.0
"""From a candidate's box center to a finding's surface; farther away there is no tag."""
EPOCHS = {"tag": 30}
"""Passes through the candidates, where not the preset's: a single linear layer takes seconds."""


@dataclass(frozen=True)
class Taught:
    """How a tagger learns: on which of `GRIDS`, and by what recipe."""

    grid: str
    recipe: TaggerRecipe


@dataclass(frozen=True)
class Asked:
    """A network of stage two: one of `CLASSIFIERS`, and the seed of its training."""

    classifier: str
    seed: int


def write_lesions(path: Path, work: Path, spacing_mm: Spacing, seeds: Sequence[int]) -> None:
    """Lesions of phantoms on a CT of these voxels."""
    cohort = PhantomCohort(work, DEMO, ct_spacing_mm=spacing_mm)
    found = []
    for number, seed in enumerate(seeds, start=1):
        found.append(LesionSet.collect(cohort_lesions(cohort, f"phantom-{seed}")))
        tell(number / len(seeds))
    joined = {
        name: np.concatenate([getattr(one, name) for one in found])
        for name in ("images", "boxes", "labels", "certain", "reliable")
    }
    LesionSet(tuple(case for one in found for case in one.cases), **joined).save(path)


def learn_tagger(path: Path, recipe: TaggerRecipe, learned: Path, judged: Path) -> None:
    """A tagger of phantom lesions, kept as the shipped one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    resume = path.with_suffix(".resume")
    trained = train_tagger(
        recipe,
        LesionSet.load(learned),
        LesionSet.load(judged),
        origin=PHANTOM,
        trained_on="phantom",
        device=device(),
        resume_path=resume,
        on_progress=tell_training,
    )
    save_tagger(path, trained.network, trained.metadata, half=True)
    resume.unlink(missing_ok=True)


def write_tags(spacing_mm: Spacing, paths: Mapping[Path, Mapping[Path, Path]]) -> None:
    """What each tagger says of kept candidates when it looks at CTs of these voxels.

    Args:
        spacing_mm: Of the CTs.
        paths: By the tagger's file: the files of candidates with those of their tags.
    """
    taggers = {path: Tagger.load(path, device(), number_format="f32") for path in paths}
    cases = next(iter(paths.values()))
    for number, candidates in enumerate(cases, start=1):
        content = load_set(candidates)
        ct = fine_ct(seed_of(content), DEMO, PhantomParameters(), spacing_mm)
        for path, tagger in taggers.items():
            tags = tagger.tag_lesions(ct, content.lesions).astype(np.float16)
            write_array(paths[path][candidates], tags)
        tell(number / len(cases))


def write_true(paths: Mapping[Path, Path]) -> None:
    """The tags that hold for the finding that each kept candidate lies on."""
    for candidates, path in paths.items():
        content = load_set(candidates)
        plan = plan_patient(seed_of(content), PhantomParameters())
        write_array(path, true_tags(content.lesions, [*plan.nodes, *plan.mimics, *plan.spots]))


def write_partly_true(paths: Mapping[Path, tuple[Path, Path]], kind: str) -> None:
    """A tagger's tags with the true ones of one kind in place of its own.

    Args:
        paths: By the file to write: the files of the tagger's tags and of the true ones.
        kind: A value of `TAG_CLASSES`.
    """
    columns = np.array([TAG_CLASSES[name] == kind for name in TAG_NAMES])
    for path, (said, true) in paths.items():
        write_array(path, np.where(columns, np.load(true), np.load(said)))


def true_tags(lesions: np.ndarray, deposits: Sequence[Deposit]) -> np.ndarray:
    """(n, 171) float16 ones for the tags of what lies nearest to each box center, up to `NEAR_MM` away."""
    tags = np.zeros((len(lesions), len(TAG_NAMES)), dtype=np.float16)
    centers = np.array([one.center_mm for one in deposits])
    radii = [min(one.long_axis_mm, 2 * one.short_axis_mm) / 2 for one in deposits]
    for entry, (x0, x1, y0, y1, z) in zip(tags, lesions, strict=True):
        gaps = np.linalg.norm(centers - [(x0 + x1) / 2, (y0 + y1) / 2, z], axis=1) - radii
        nearest = int(gaps.argmin())
        if gaps[nearest] <= NEAR_MM:
            entry[[TAG_INDEX[name] for name in deposits[nearest].tags]] = 1
    return tags


def score(
    path: Path,
    asked: Asked,
    learned: tuple[Sequence[Path], Sequence[Path]],
    tested: tuple[Sequence[Path], Sequence[Path]],
) -> None:
    """Train a network of stage two on kept candidates and tags, and keep its scores of others by case.

    Args:
        path: File of the scores.
        asked: Which network.
        learned, tested: Files of candidates and of their tags; no tags for a network that reads none.
    """
    classifier = CLASSIFIERS[asked.classifier]
    checkpoint = train_classifier(
        classifier,
        DEMO,
        [load_set(one) for one in learned[0]],
        [np.load(one) for one in learned[1]] if classifier.tags else None,
        epochs=EPOCHS.get(classifier.name),
        seed=asked.seed,
        trained_on="phantom",
        device=device(),
        on_progress=tell_training,
    )
    scorer = CandidateScorer(checkpoint, device(), number_format="f32")
    scores = {}
    for number, one in enumerate(tested[0]):
        content = load_set(one)
        count = content.n_candidates
        tags = np.load(tested[1][number])[:count] if classifier.tags else None
        scores[content.case] = scorer.scores(content.patches.first(count), tags).astype(float).tolist()
    write_json(path, scores)


def seed_of(content: CandidateSet) -> int:
    """The phantom's."""
    return int(content.case.removeprefix("phantom-"))
