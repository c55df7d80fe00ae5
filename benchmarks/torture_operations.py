"""Operations of the stores that are killed at exact points, and how each is judged afterwards."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from benchmarks.torture_place import CASES, SAMPLES
from benchmarks.torture_store import (
    NETWORK,
    NODES,
    Annotator,
    digest,
    nifti,
    publish_untrained,
    untrained,
    voxels,
)
from lib.store.datastore import OslnDatastore
from osln.files.images import twins
from osln.store.drafts import keep_draft, kept_draft
from osln.store.leases import lease_of, take_lease
from osln.store.revisions import Revision, label_revisions
from osln.weights.model_store import ModelStore

CASE = CASES[0]
TUMOR = {"name": "tumor", "idx": 2}
DRAFT = {"base_revision": 2, "saved_at": "2026-01-31T12:00:00+00:00", "state": {}, "labels": None}


@dataclass(frozen=True)
class Operation:
    """Something that a store does.

    Attributes:
        prepare: Makes the state before, in a place with `studies` and `models`.
        ready: Opens the store; returns the step that is killed.
        judge: What is wrong after the kill, from the killed place, an untouched old one and a finished one.
    """

    prepare: Callable[[Path], None]
    ready: Callable[[Path], Callable[[], object]]
    judge: Callable[[Path, Path, Path], list[str]]


def opened(place: Path) -> OslnDatastore:
    """The store as a server that starts opens it."""
    return OslnDatastore(place / "studies")


def label_file(place: Path, seed: int, tumor: bool) -> Path:
    """A label of nodes, with another tumor if asked; written beside the stores."""
    annotator = Annotator(place / "studies", CASE, seed, "anna")
    label = annotator.draw()
    if tumor:
        label[1:6, 1:6, 1:6] = 2
    affine = nib.load(place / "studies" / f"{CASE}.nii.gz").affine
    path = place / f"label-{seed}.nii.gz"
    path.write_bytes(nifti(label, affine))
    return path


def submit(place: Path, seed: int, tumor: bool = True) -> Callable[[], object]:
    """A submission of nodes, with a tumor if asked."""
    store, names = opened(place), [*NODES, TUMOR] if tumor else NODES
    file, params = label_file(place, seed, tumor), {"client_id": "anna", "label_info": names}
    return lambda: store.save_label(CASE, str(file), "final", params)


def submit_review(place: Path, seed: int) -> Callable[[], object]:
    """A submission of one node with what was decided about it, made of the draft of `prepare_labels`."""
    store, file = opened(place), label_file(place, seed, False)
    node = {"id": f"c{seed}", "state": "accepted", "value": 1, "center_mm": [0, 0, 0], "origin": "model"}
    review = {"complete": True, "seconds": 1.5, "undecided": "unknown", "candidates": [node]}
    params = {"client_id": "anna", "label_info": NODES, "review": review, "base_revision": 2}
    return lambda: store.save_label(CASE, str(file), "final", params)


def draft(place: Path) -> Callable[[], object]:
    """Keeping a draft in place of the former one."""
    root = opened(place).root
    return lambda: keep_draft(root, CASE, "anna", {**DRAFT, "state": {"threshold": 0.5}})


def small_store(studies: Path) -> None:
    """The sample cases, cut to a corner of them: thousands of files are copied."""
    for case in CASES:
        for folder in ("", "pet", "labels/gtv"):
            image = nib.load(SAMPLES / folder / f"{case}.nii.gz")
            (studies / folder).mkdir(parents=True, exist_ok=True)
            nib.save(image.slicer[:48, :48, :32], studies / folder / f"{case}.nii.gz")


def prepare_labels(place: Path) -> None:
    """Two submitted labels and a prediction; a draft, by whom the case is held."""
    small_store(place / "studies")
    for seed in (1, 2):
        submit(place, seed)()
    store = opened(place)
    store.save_label(CASE, str(label_file(place, 3, False)), "original", {})
    keep_draft(store.root, CASE, "anna", DRAFT)
    take_lease(store.root, CASE, "anna")


def prepare_versions(place: Path) -> None:
    """Two published versions, random ones."""
    for seed in (0, 1):
        publish_untrained(place / "models", seed)


def put_ct(place: Path, suffix: str) -> Callable[[], object]:
    """An upload of a new CT."""
    store, file = opened(place), place / f"upload{suffix}"
    image = sitk.ReadImage(str(place / "studies" / f"{CASE}.nii.gz"))
    sitk.WriteImage(image[:40, :40, :20], str(file))
    return lambda: store.add_image("arrived", str(file), {"origin": "a test"})


def delete(place: Path) -> Callable[[], object]:
    """Taking a case out of the store."""
    store = opened(place)
    return lambda: store.remove_image(CASE)


def remove_label(place: Path) -> Callable[[], object]:
    """Taking the approved label away."""
    store = opened(place)
    return lambda: store.remove_label(CASE, "final")


def register(place: Path) -> Callable[[], object]:
    """Noting a label in the index."""
    store = opened(place)
    return lambda: store.register_label(CASE, "gtv", {"note": "new"})


def publish(place: Path) -> Callable[[], object]:
    """Storing and publishing weights."""
    store, checkpoint = ModelStore(place / "models"), untrained(2)
    return lambda: store.publish(NETWORK, store.add(checkpoint).name)


def rollback(place: Path) -> Callable[[], object]:
    """Going back to the version before."""
    store = ModelStore(place / "models")
    return lambda: store.rollback(NETWORK)


def judge_case(place: Path, old: Path, new: Path) -> list[str]:
    """The case's CT, companions, labels and history are those before or those after, each whole."""
    store = opened(place)
    listed = CASE in store.list_images()
    wrong = [f"the index says {why}" for why in store.refused.values()]
    was, will, now = (companions(at / "studies") for at in (old, new, place))
    if listed:
        for name in sorted(was.keys() | will.keys() | now.keys()):
            if now.get(name) not in (was.get(name), will.get(name)) and not name.startswith("labels"):
                wrong.append(f"{name} is neither old nor new")
        if not now.get("ct"):
            wrong.append("the case is listed without its CT")
        if will.get("ct"):
            wrong += judge_labels(place, old, new)
        else:
            wrong += [
                f"the case stands without its {name}" for name in was if was[name] and not now.get(name)
            ]
            wrong += judge_labels(place, old, old)
    else:
        left = [name for name, value in now.items() if value]
        if will.get("ct") or left:
            wrong.append(f"the case is not listed, and there lie {', '.join(left) or 'no files'}")
    if lost := set(kept_labels(old / "studies")) - set(kept_labels(place / "studies")):
        wrong.append(f"{len(lost)} labels are neither among the revisions nor among those put away")
    return wrong


def kept_labels(studies: Path) -> list[str]:
    """Checksums of all labels that revisions keep, also of cases that were put away."""
    found = (studies / ".osln").rglob("[0-9]*.nii.gz")
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in found]


def companions(studies: Path) -> dict[str, str | None]:
    """Checksums of what lies under the names of the case."""
    places = {"ct": "", **{name: name for name in ("pet", "labels/final", "labels/gtv", "labels/original")}}
    found: dict[str, str | None] = {}
    for name, folder in places.items():
        path = studies / folder / f"{CASE}.nii.gz"
        found[name] = digest(voxels(path)) if path.exists() else None
    kept = kept_draft(studies, CASE, "anna")
    found["draft"] = None if kept is None else json.dumps(kept)
    found["lease"] = "held" if lease_of(studies, CASE) else None
    return found


def judge_labels(place: Path, old: Path, new: Path) -> list[str]:
    """Approved labels are one of two states each, their history is whole and goes on."""
    wrong = []
    for tag in ("final", "gtv"):
        states = [_kept(at / "studies", tag) for at in (old, new)]
        now = _kept(place / "studies", tag)
        if now[0] not in (states[0][0], states[1][0]):
            wrong.append(f"the {tag} label holds neither the old voxels nor the new ones")
        if missing := set(states[0][1]) - set(now[1]):
            wrong.append(f"revisions {sorted(missing)} of {tag} are gone")
        if extra := set(now[1].values()) - set(states[0][1].values()) - set(states[1][1].values()):
            wrong.append(f"the history of {tag} holds {len(extra)} labels that nobody sent")
    return wrong


def _kept(studies: Path, tag: str) -> tuple[str | None, dict[int, str]]:
    """Voxels of the label that others read, and of every revision, after an interrupted write was settled."""
    kept = label_revisions(studies, CASE, tag)
    with kept.lock():
        kept.settle()
        history: list[Revision] = kept.history()
    for revision in history:
        decided = kept.review(revision.revision) is not None
        if decided != (revision.complete is not None):
            raise ValueError(f"revision {revision.revision} of {tag} has lost its review, or got another's")
        if hashlib.sha256(kept.path(revision.revision).read_bytes()).hexdigest() != revision.sha256:
            raise ValueError(f"revision {revision.revision} of {tag} is not the file that was described")
    final = digest(voxels(kept.final) > 0) if kept.final.exists() else None
    return final, {one.revision: digest(voxels(kept.path(one.revision)) > 0) for one in history}


def judge_ct(place: Path, old: Path, new: Path) -> list[str]:
    """The new case is listed with its CT, or there is nothing of it; the other cases stand."""
    store = opened(place)
    path = place / "studies" / "arrived.nii.gz"
    wrong = [f"{case} is gone" for case in CASES if case not in store.list_images()]
    if ("arrived" in store.list_images()) != path.exists() or twins(path):
        wrong.append("the case is listed without a file or lies there unlisted")
    if path.exists() and not np.array_equal(voxels(path), voxels(new / "studies" / "arrived.nii.gz")):
        wrong.append("the CT is not the one that was sent")
    return wrong


def judge_index(place: Path, old: Path, new: Path) -> list[str]:
    """The index can be read, and the label's note is old or new."""
    store = opened(place)
    notes = [opened(at).get_label_info(CASE, "gtv").get("note") for at in (old, new)]
    wrong = (
        [] if store.get_label_info(CASE, "gtv").get("note") in notes else ["the note is neither old nor new"]
    )
    unreadable = list((place / "studies").glob("*.unreadable*"))
    return wrong + ["the index was unreadable"] * len(unreadable)


def judge_models(place: Path, old: Path, new: Path) -> list[str]:
    """The version in use is that before or that after, and its weights are whole."""
    names = []
    for at in (place, old, new):
        store = ModelStore(at / "models")
        store.load(NETWORK)
        version = store.published(NETWORK)
        names.append(version.name.partition("-")[0] if version else "")
    after_old = [version.name for version in ModelStore(old / "models").versions(NETWORK)]
    # A version's name is the time it was made at, so that the finished run's differs from the killed one's.
    if names[0] in names[1:] or names[0] not in after_old:
        return []
    return [f"the version in use is {names[0]}, before it was {names[1]}, after it {names[2]}"]


OPERATIONS = {
    "submit": Operation(prepare_labels, lambda place: submit(place, 9), judge_case),
    "submit a review": Operation(prepare_labels, lambda place: submit_review(place, 9), judge_case),
    "keep a draft": Operation(prepare_labels, draft, judge_case),
    "put CT": Operation(prepare_labels, lambda place: put_ct(place, ".nii.gz"), judge_ct),
    "put CT as NRRD": Operation(prepare_labels, lambda place: put_ct(place, ".nrrd"), judge_ct),
    "delete": Operation(prepare_labels, delete, judge_case),
    "remove label": Operation(prepare_labels, remove_label, judge_case),
    "register label": Operation(prepare_labels, register, judge_index),
    "publish": Operation(prepare_versions, publish, judge_models),
    "rollback": Operation(prepare_versions, rollback, judge_models),
}
