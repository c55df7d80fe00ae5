"""The store of trained weights: versions, publishing by atomic rename, rollback; nothing runs untrained."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from osln.files.whole import plain, write_atomically
from osln.rows.experiments import ROWS, TAGGER, VERSIONED
from osln.weights.measurements import Entry, Measurements, of_former_software
from osln.weights.store_state import SHIPPED, as_json

if TYPE_CHECKING:
    # torch comes with it, which takes seconds: who only lists versions does without.
    from osln.weights.checkpoint import Checkpoint

END_SECONDS = 10.0
"""So long a training that was stopped may take to leave its network to the next one."""


class BusyError(ValueError):
    """The network is being trained for the same store already."""


@dataclass(frozen=True)
class Version:
    """Stored weights: name (time and metric, or "shipped"), file, checksum and metadata."""

    network: str
    name: str
    path: Path
    sha256: str
    trained_on: str
    metadata: Mapping[str, Any]


class ModelStore(Measurements):
    """Versions of every network's weights below one folder.

    `shipped/` comes with the software and is read-only; `<network>/<version>.pt` are trained here
    (`.safetensors` of the tagger, which may be converted, too); `published.json` names which version is in
    use. A network without a published version uses the shipped one.

    Args:
        root: Folder; created when something is first written.
    """

    def versions(self, network: str) -> list[Version]:
        """All versions, oldest first; the shipped one leads."""
        _check_network(network)
        manifest = self._shipped_manifest()
        shipped = {**manifest.get("networks", {}), TAGGER: manifest.get("tagger")}.get(network)
        first = [self._version(network, SHIPPED, shipped)] if shipped else []
        # By number, as clocks may be set back; versions of before there were numbers come first.
        own = sorted((entry.get("number", 0), name, entry) for name, entry in self._entries(network))
        return first + [self._version(network, name, entry) for _, name, entry in own]

    def published(self, network: str) -> Version | None:
        """The version in use, or None if there is none at all."""
        history = self._state()["published"].get(network, [])
        name = history[-1] if history else SHIPPED
        return next((version for version in self.versions(network) if version.name == name), None)

    def history(self, network: str) -> list[Version]:
        """Versions that are or were in use and were not rolled back, oldest first; the shipped one leads."""
        names = {SHIPPED, *self._state()["published"].get(network, [])}
        return [version for version in self.versions(network) if version.name in names]

    def file(self, network: str, version: Version | None = None) -> Path:
        """The weights file in use, or that of `version`, after its checksum was compared.

        Raises:
            ValueError: If there are no weights, or the file is not the one that was stored.
        """

        version = version or self.published(network)
        if version is None and (history := self._state()["published"].get(network)):
            raise ValueError(
                f"the published version {history[-1]} of {network} is gone from {self.root / network}; "
                f"roll back (./scripts/osln models rollback {network}) or train again"
            )
        if version is None:
            raise ValueError(
                f"no weights for {network}: train it ({_training(network)}) or put them at "
                f"{self.root / SHIPPED}"
            )
        if not version.path.is_file() or sha256_of(version.path) != version.sha256:
            raise ValueError(
                f"the weights {version.path.name} of {network} are missing or were changed after they were "
                f"stored; roll back (./scripts/osln models rollback {network}) or train again"
            )
        return version.path

    def load(self, network: str, version: Version | None = None) -> "Checkpoint":
        """The checkpoint in use, or that of `version`; errors as in `file` and `load_checkpoint`.

        Args:
            network: Name in `NETWORKS`; a tagger's `file` is read by `osln.tagging.tagger.Tagger.load`.
            version: One of `versions`.
        """
        from osln.weights.checkpoint import load_checkpoint

        path = self.file(network, version)
        checkpoint = load_checkpoint(path)
        if checkpoint.name != network:
            raise ValueError(f"{path.name} holds weights of {checkpoint.name}, not of {network}")
        return checkpoint

    def add(self, checkpoint: "Checkpoint", metric: float | None = None) -> Version:
        """Stores a checkpoint as a new version, not yet published."""
        from osln.weights.checkpoint import save_checkpoint

        _check_network(checkpoint.name)
        checkpoint.check()
        return self._add(
            checkpoint.name,
            ".pt",
            lambda path: save_checkpoint(path, checkpoint),
            trained_on=checkpoint.trained_on,
            metadata=checkpoint.metadata,
            metric=metric,
        )

    def add_tagger(self, source: Path, about: Mapping[str, Any], metric: float | None = None) -> Version:
        """Stores a copy of a tagger's file as a new version, not yet published.

        Args:
            source: File of the tagger.
            about: What `Tagger.describe` says of it.
            metric: Mean AUC of its tags on lesions that it has not seen.
        """
        return self._add(
            TAGGER,
            ".safetensors",
            lambda path: write_atomically(path, source.read_bytes()),
            trained_on=about["trained_on"],
            metadata={name: about[name] for name in ("origin", "width")},
            metric=metric,
        )

    def _add(
        self,
        network: str,
        suffix: str,
        write: Callable[[Path], None],
        *,
        trained_on: str,
        metadata: Mapping[str, Any],
        metric: float | None,
    ) -> Version:
        folder = self.root / network
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(timezone.utc)
        metric = plain(metric)
        # Microseconds: two trainings never end in the same one.
        name = now.strftime("%Y%m%dT%H%M%S%f") + ("" if metric is None else f"-{metric:.3f}")
        path = folder / (name + suffix)
        number = 1 + max((entry.get("number", 0) for _, entry in self._entries(network)), default=0)
        write(path)
        entry = {
            "file": f"{network}/{path.name}",
            "sha256": sha256_of(path),
            "trained_on": trained_on,
            "created": now.isoformat(timespec="seconds"),
            "number": number,
            "metric": metric,
            "metadata": plain(dict(metadata)),
        }
        write_atomically(folder / f"{name}.json", as_json(entry))
        return self._version(network, name, entry)

    def publish(self, network: str, name: str) -> Version:
        """Puts a stored version into use; one atomic rename."""
        version = self._named(network, name)
        # What reads a tagger stands above this package; its file was read before it was added.
        check = self.file if network == TAGGER else self.load
        check(network, version)
        with self._lock():
            state = of_former_software(self._state())
            history = state["published"].setdefault(network, [])
            if not history or history[-1] != name:
                history.append(name)
            for kind, entries in self.trying(version)._stand_ins(network, self).items():
                for measured, entry in entries.items():
                    state.setdefault(kind, {}).setdefault(measured, []).append(plain(dict(entry)))
            # Whoever publishes decides anew.
            state.get("worse", {}).pop(network, None)
            self._write_state(state)
        return version

    def trying(self, version: Version) -> "ModelStore":
        """This store as it will be when a version is put into use, to measure with it before that."""
        return _Trying(self, version)

    @property
    def now(self) -> "ModelStore":
        """The store as it is, also of one in which a version is tried."""
        return self

    def worse_than_none(self, network: str) -> str | None:
        """Why the version in use of a network is worse than stage one alone; None if it is not."""
        found, used = self._state().get("worse", {}).get(network), self.published(network)
        return found["why"] if found and used and _is_of(found, used) else None

    def set_worse_than_none(self, version: Version, why: str | None) -> None:
        """Notes that a version was found to be worse than stage one alone or, without a reason, that not."""
        with self._lock():
            state = self._state()
            marks = state.setdefault("worse", {})
            marks.pop(version.network, None)
            if why is not None:
                marks[version.network] = {"version": version.name, "sha256": version.sha256, "why": why}
            self._write_state(state)

    @contextmanager
    def training(self, network: str) -> Iterator[None]:
        """Inside, nobody else trains this network for this store; the same thread may enter again.

        Raises:
            BusyError: If a training of the network is at work, in whatever process.
        """
        folder = self.root / network
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".training.lock", timeout=END_SECONDS, is_singleton=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"{network} is being trained for {self.root} already: wait for its end, or stop that training"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def rollback(self, network: str) -> Version:
        """Puts the version before the published one back into use.

        Raises:
            ValueError: If there is none.
        """
        _check_network(network)
        with self._lock():
            state = self._state()
            earlier = self._former(network, state)
            if earlier is None:
                raise ValueError(f"{network} has no earlier version to roll back to")
            state["published"][network].pop()
            state.get("worse", {}).pop(network, None)
            self._write_state(state)
        return earlier

    def former(self, network: str) -> Version | None:
        """The version that a rollback would put back into use; None if there is none."""
        return self._former(network, self._state())

    def _former(self, network: str, state: Mapping[str, Any]) -> Version | None:
        history = state["published"].get(network, [])
        earlier = history[-2] if len(history) > 1 else SHIPPED
        known = {version.name: version for version in self.versions(network)}
        return known.get(earlier) if history else None

    def _named(self, network: str, name: str) -> Version:
        for version in self.versions(network):
            if version.name == name:
                return version
        known = ", ".join(version.name for version in self.versions(network)) or "none"
        raise ValueError(f"{network} has no version {name!r}; known: {known}")

    def _version(self, network: str, name: str, entry: Mapping[str, Any]) -> Version:
        told = {key: value for key, value in entry.items() if key in ("created", "metric", "origin")}
        metadata = told | dict(entry.get("metadata", {}))
        folder = self.root / SHIPPED if name == SHIPPED else self.root
        return Version(network, name, folder / entry["file"], entry["sha256"], entry["trained_on"], metadata)

    def damage(self) -> list[str]:
        """Sentences about files that cannot be read; the store goes on with those that can."""
        self._shipped_manifest()
        self._state()
        for network in VERSIONED:
            self._entries(network)
        return list(self._damaged.values())

    def _entries(self, network: str) -> list[tuple[str, dict[str, Any]]]:
        """Name and description of the versions that were trained here, those that can be read."""
        paths = sorted((self.root / network).glob("*.json"))
        read = {path.stem: self._read(path, "this version is left out: restore it") for path in paths}
        return [(name, entry) for name, entry in read.items() if entry]


class _Trying(ModelStore):
    """A store in which a version is in use that is not yet.

    Measurements are kept by the weights that they are of, so that nobody is given those made here before.
    """

    def __init__(self, store: ModelStore, version: Version) -> None:
        super().__init__(store.root)
        self._now, self._tried = store, version

    @property
    def now(self) -> ModelStore:
        return self._now

    def published(self, network: str) -> Version | None:
        return self._tried if network == self._tried.network else super().published(network)

    def checksum(self, network: str) -> str | None:
        return self._tried.sha256 if network == self._tried.network else super().checksum(network)

    def fusion(self, row: str) -> dict[str, Any]:
        """Until it is fitted, the version goes by the fusion of what it replaces."""
        found = super().fusion(row)
        fits = bool(found) and found["weights"] == self._networks(ROWS.get(row))
        return found if fits else self._now.fusion(row)

    def _points(self, name: str) -> Entry | None:
        """Until it is measured, the version goes by the points of what it replaces."""
        found = super()._points(name)
        return found if found and found["weights"] == self._weights(name) else self._now._points(name)


def _is_of(mark: Mapping[str, Any], version: Version) -> bool:
    """Whether a mark is of these weights; marks of former software name the version alone."""
    # Other weights bear the name of those that come with the software after each update.
    named = mark["version"] == version.name != SHIPPED
    return bool(mark["sha256"] == version.sha256 if "sha256" in mark else named)


def _check_network(name: str) -> None:
    if name not in VERSIONED:
        raise ValueError(f"unknown network {name!r}: expected one of {', '.join(VERSIONED)}")


def _training(network: str) -> str:
    """The command that makes a version of a network."""
    if network == TAGGER:
        return "./scripts/osln train-tagger --phantoms 60 --publish"
    return f"./scripts/osln train --store STORE --model {network}"


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
