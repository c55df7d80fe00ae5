"""The weights that come with the software: written together, with the manifest that a model store reads."""

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from osln.files.whole import plain, write_atomically
from osln.rows.experiments import CLASSIFIERS, ROWS, TAGGER
from osln.weights.checkpoint import Checkpoint, save_checkpoint
from osln.weights.measurements import classifier_row
from osln.weights.model_store import sha256_of
from osln.weights.store_state import as_json

Curves = Mapping[str, tuple[Sequence[str], Sequence[Mapping[str, float]]]]
"""By classifier the networks that it was measured with and the points, see `ModelStore.curve`."""


def write_shipped(
    folder: Path,
    checkpoints: Mapping[str, Checkpoint],
    thresholds: Mapping[str, Any],
    tagger: tuple[Path, Mapping[str, Any]] | None,
    command: str,
    curves: Curves | None = None,
) -> None:
    """Writes the weights that come with the software and their manifest with checksums.

    Args:
        folder: Where to.
        checkpoints: Of both stages, by network name.
        thresholds: Operating points by row and by classifier, see `ModelStore.thresholds`.
        tagger: Of the tagger whose tags the classifiers read, as `ship_tagger`; None if none reads tags.
        command: The command line that made them, to make them again.
        curves: What validation patients gave at other operating points.
    """
    folder.mkdir(parents=True, exist_ok=True)
    networks = _shipped_files(folder, checkpoints)
    manifest = {
        "command": without_folders(command),
        "not_for_clinical_use": True,
        "networks": networks,
        "thresholds": plain(thresholds),
        "curves": _curves(networks, curves or {}),
    }
    if tagger is not None:
        manifest["tagger"] = _shipped_tagger(folder, *tagger)
    # The click network belongs to no row and is made by a command of its own.
    if (click := shipped_manifest(folder).get("click")) is not None:
        manifest["click"] = click
    write_atomically(folder / "manifest.json", as_json(manifest))


def ship_tagger(folder: Path, source: Path, about: Mapping[str, Any]) -> None:
    """Puts a tagger among the weights that come with the software, in place of the one that was there.

    Args:
        folder: Of these weights; there.
        source: File of the tagger; copied into the folder unless it is there already.
        about: What `Tagger.describe` says of it.
    """
    manifest = shipped_manifest(folder) | {"tagger": _shipped_tagger(folder, source, about)}
    write_atomically(folder / "manifest.json", as_json(manifest))


def ship_more(
    folder: Path, checkpoints: Mapping[str, Checkpoint], thresholds: Mapping[str, Any], curves: Curves
) -> None:
    """Puts further networks beside the weights that come with the software.

    Args:
        folder: Of these weights; there.
        checkpoints, thresholds, curves: As in `write_shipped`, of the further networks alone.
    """
    manifest = shipped_manifest(folder)
    networks = manifest["networks"] | _shipped_files(folder, checkpoints)
    manifest |= {
        "networks": networks,
        "thresholds": manifest["thresholds"] | plain(dict(thresholds)),
        "curves": manifest.get("curves", {}) | _curves(networks, curves),
    }
    write_atomically(folder / "manifest.json", as_json(manifest))


def withdraw(folder: Path, names: Collection[str]) -> None:
    """Takes networks that no row asks any more from the weights, and what was measured with them.

    Args:
        folder: Of these weights; there.
        names: Of the networks that stay.
    """
    manifest = shipped_manifest(folder)
    gone = {name: one["file"] for name, one in manifest["networks"].items() if name not in names}
    manifest["networks"] = {name: one for name, one in manifest["networks"].items() if name in names}
    for part in {"thresholds", "curves", "fusions"} & manifest.keys():
        manifest[part] = {name: one for name, one in manifest[part].items() if _asks_none_of(gone, name)}
    write_atomically(folder / "manifest.json", as_json(manifest))
    for file in gone.values():
        (folder / file).unlink(missing_ok=True)


def _asks_none_of(gone: Collection[str], name: str) -> bool:
    """Whether there is such a row of stage one, or a row of such a classifier, that asks none of these."""
    row = classifier_row(name) if name in CLASSIFIERS else ROWS.get(name)
    return row is not None and not any(network in gone for network in row.networks)


def ship_curves(folder: Path, curves: Curves) -> None:
    """Puts what was measured of the weights that come with the software into their manifest."""
    manifest = shipped_manifest(folder)
    write_atomically(
        folder / "manifest.json", as_json(manifest | {"curves": _curves(manifest["networks"], curves)})
    )


def ship_fusions(
    folder: Path, fusions: Mapping[str, Mapping[str, Any]], thresholds: Mapping[str, Mapping[str, float]]
) -> None:
    """Puts fusions fitted to the weights that come with the software, and operating points, beside them.

    Args:
        folder: Of these weights; there.
        fusions: By row what `LearnedFusion.to_json` says.
        thresholds: Operating points by row, of rows that have none yet among them.
    """
    manifest = shipped_manifest(folder)
    networks = {name: one["sha256"] for name, one in manifest["networks"].items()}
    entries = {
        row: {
            "weights": {name: networks[name] for zone in zones.values() for name in zone["streams"]},
            "zones": plain(dict(zones)),
        }
        for row, zones in fusions.items()
    }
    manifest |= {"fusions": manifest.get("fusions", {}) | entries}
    manifest["thresholds"] = manifest["thresholds"] | plain(dict(thresholds))
    write_atomically(folder / "manifest.json", as_json(manifest))


def ship_click(file: Path, trained_on: str, command: str) -> None:
    """Names the click network's file, which lies among the weights already, in their manifest."""
    entry = {"file": file.name, "sha256": sha256_of(file), "trained_on": trained_on}
    entry |= {"command": without_folders(command)}
    manifest = shipped_manifest(file.parent) | {"click": entry}
    write_atomically(file.parent / "manifest.json", as_json(manifest))


def shipped_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as it is, or the beginning of one."""
    path = folder / "manifest.json"
    return json.loads(path.read_text()) if path.is_file() else {"not_for_clinical_use": True}


def without_folders(command: str) -> str:
    """A command line without the folders of its paths: weights are handed on, and folders are private.

    The command itself, the first word, stays as it is.

    >>> without_folders("osln tables --background '/home/anna b/CT.nii.gz' --work=../runs --ship-new")
    'osln tables --background CT.nii.gz --work=runs --ship-new'
    """
    program, *words = shlex.split(command)
    return shlex.join([program, *map(_without_folder, words)])


def _without_folder(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (re.split(r"[/\\]", value.rstrip("/\\"))[-1] or ".") if value else word


def _curves(networks: Mapping[str, Any], curves: Curves) -> dict[str, Any]:
    """The manifest's entries: a curve counts for exactly the weights that it was measured with."""
    return {
        name: {"weights": {one: networks[one]["sha256"] for one in asked}, "points": plain(list(points))}
        for name, (asked, points) in curves.items()
    }


def _shipped_tagger(folder: Path, source: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Copies the tagger and returns its entry of the manifest."""
    if source.resolve() != (target := folder / f"{TAGGER}.safetensors").resolve():
        write_atomically(target, source.read_bytes())
    told = {name: about[name] for name in ("origin", "trained_on")}
    return {"file": target.name, "sha256": sha256_of(target), **told}


def _shipped_files(folder: Path, checkpoints: Mapping[str, Checkpoint]) -> dict[str, Any]:
    """Writes the checkpoints and returns their entries of the manifest."""

    entries = {}
    for name, checkpoint in checkpoints.items():
        path = folder / f"{name}.pt"
        save_checkpoint(path, checkpoint)
        entries[name] = {
            "file": path.name,
            "sha256": sha256_of(path),
            "trained_on": checkpoint.trained_on,
            "metadata": plain(dict(checkpoint.metadata)),
        }
    return entries
