"""The folder of cases: which file of a case lies where, and how a patient is read from there."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from osln.files.images import SUFFIXES, split_suffix
from osln.imaging.grid import Volume, read_volume
from osln.imaging.study import Study, build_study
from osln.store.parts import part_of
from osln.store.revisions import label_revisions

CASE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
OF_THE_STORE = ("import", "outbox", "pacs", "splits.json", "splits.json.lock")
"""What lies in `.osln` beside the folders of the cases; names that begin with a point are no ids anyway."""


@dataclass(frozen=True)
class StorePaths:
    """Files of one case; an optional file that does not exist is None."""

    case: str
    ct: Path
    pet: Path | None
    tumor: Path | None
    nodes: Path | None
    truth: Path | None


def store_around(folder: str | Path) -> Path | None:
    """The folder of cases that a folder is or lies in; None if it lies in none."""
    named, real = Path(folder).absolute(), Path(folder).resolve()
    return next((one for one in (named, *named.parents, real, *real.parents) if _is_store(one)), None)


def _is_store(folder: Path) -> bool:
    try:
        if (folder / "datastore_v2.json").exists():
            return True
        kinds = [folder / "labels" / kind for kind in ("gtv", "final", "original")]
        # A data set of somebody else's may have labels, too; a store has the CTs at its top.
        return any(one.exists() for one in kinds) and any(
            split_suffix(one)[1] and one.is_file() for one in folder.iterdir()
        )
    except OSError:
        # A folder that nobody here may look into.
        return False


def check_case(case: str) -> str:
    """The id itself if it is fit to be a file name.

    Raises:
        ValueError: If it holds anything but letters, digits, ".", "_" and "-", could leave a folder, or is a
            name of `OF_THE_STORE`, in small letters or large ones: file systems may not tell them apart.
    """
    if not CASE_PATTERN.fullmatch(case) or ".." in case:
        raise ValueError(
            f"{case!r} is not a case id: expected up to 128 letters, digits, '.', '_' or '-', beginning "
            "with a letter or digit and without '..'"
        )
    if case.lower() in OF_THE_STORE:
        raise ValueError(
            f"{case!r} cannot be a case id: the store keeps something of its own under that name; take "
            "another one"
        )
    return case


def companions(root: str | Path, case: str) -> StorePaths:
    """Finds a case's files in a store (layout: README of sample-datastore).

    Raises:
        ValueError: If the id is not valid, the CT is missing, or a file has a twin name.
    """
    root, case = Path(root), check_case(case)
    ct = one_file(root, case)
    if ct is None:
        raise ValueError(f"no case {case!r} in {root}: expected a CT named {case}.nii.gz there")
    return StorePaths(
        case=case,
        ct=ct,
        pet=one_file(root / "pet", case),
        tumor=label_file(root, case, "gtv"),
        nodes=label_file(root, case, "final"),
        truth=one_file(root / "truth", case),
    )


def node_map(root: Path, case: str, revision: int | None = None) -> Path | None:
    """The map that tells the approved nodes of a case apart, which `imaging.single_nodes.nodes_of` judges.

    It was stored with the revision or, for nodes that came with an import, in `nodes/`.

    Args:
        root: Folder of the store.
        case: Id of the case.
        revision: Number; None: of the label that lies in the store, or of the newest one if that is no
            revision's.

    Returns:
        The file; None for labels of former versions, whose nodes are told apart by gaps.
    """
    kept = label_revisions(root, case, "final")
    if revision is None and (found := kept.lying() or kept.head()) is not None:
        revision = found.revision
    own = None if revision is None else kept.node_map(revision)
    return own or one_file(root / "nodes", case)


def file_marks(paths: StorePaths) -> tuple[object, ...]:
    """What changes if an image or a label of the case is written again.

    Images are large and rarely written again: size and time tell. Labels are small and written with each
    submission: their content tells.
    """
    stats = [None if path is None else path.stat() for path in (paths.ct, paths.pet)]
    return (
        *(stat and (stat.st_size, stat.st_mtime_ns) for stat in stats),
        *_label_marks(paths.ct.parent, paths.case, paths.tumor, paths.nodes),
    )


def marked_in_part(marks: tuple[object, ...]) -> bool:
    """Whether these `file_marks` are of a case that was submitted in part: only then the candidates that are
    no nodes follow CT, PET, tumor, nodes and which node is which."""
    return len(marks) > 5


def label_marks(root: Path, case: str) -> tuple[str | None, ...]:
    """As `file_marks`, of the labels alone, whose CT need not lie there."""
    return _label_marks(root, case, label_file(root, case, "gtv"), label_file(root, case, "final"))


def _label_marks(root: Path, case: str, tumor: Path | None, nodes: Path | None) -> tuple[str | None, ...]:
    labels = [None if path is None else path.read_bytes() for path in (tumor, nodes)]
    if nodes is not None and (apart := node_map(root, case)):
        labels.append(apart.read_bytes())
    part = part_of(root, case)
    if part is not None:
        labels += [part.rejected.tobytes(), part.undecided.tobytes()]
    return tuple(None if label is None else hashlib.sha256(label).hexdigest() for label in labels)


def load_study(paths: StorePaths, *, use_truth: bool = False) -> Study:
    """Reads and checks one patient; the files are read side by side.

    Args:
        paths: From `companions`.
        use_truth: Take the phantom's true nodes instead of the approved label.

    Raises:
        ValueError: If a file cannot be read, holds NaN or nothing but one value, or if PET, tumor or
            nodes do not lie on the CT. The message names the case, the file and what to do.
    """
    nodes_path = paths.truth if use_truth else paths.nodes
    with ThreadPoolExecutor(max_workers=4) as pool:
        ct = pool.submit(read_image, paths.case, "CT", paths.ct)
        pet = pool.submit(_read_if, paths.case, "PET", paths.pet)
        tumor = pool.submit(_read_if, paths.case, "tumor mask", paths.tumor)
        nodes = pool.submit(_read_if, paths.case, "node label", nodes_path)
        return build_study(paths.case, ct.result(), pet.result(), tumor.result(), nodes.result())


def label_file(root: Path, case: str, tag: str) -> Path | None:
    """The approved nodes ("final") or the tumor ("gtv") of a case; None if there are none.

    Raises:
        ValueError: If there are several, or what is known of a revision that waits is damaged.
    """
    return label_revisions(root, case, tag).waiting() or one_file(root / "labels" / tag, case)


def one_file(folder: Path, name: str) -> Path | None:
    """The image of this name, whatever its suffix; None if there is none.

    Raises:
        ValueError: If there are several.
    """
    found = [folder / (name + suffix) for suffix in SUFFIXES if (folder / (name + suffix)).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ValueError(
            f"{names} lie side by side in {folder}: programs confuse the two, remove or rename one"
        )
    return found[0] if found else None


def read_image(case: str, what: str, path: Path) -> Volume:
    """`grid.read_volume` whose errors name case and kind: the files of a case share their name."""
    try:
        return read_volume(path)
    except ValueError as error:
        raise ValueError(f"case {case}, {what}: {error}") from error


def _read_if(case: str, what: str, path: Path | None) -> Volume | None:
    return None if path is None else read_image(case, what, path)
