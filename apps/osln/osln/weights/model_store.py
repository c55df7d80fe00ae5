"""The store of trained weights: versions, publishing by atomic rename, rollback; nothing runs untrained."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from osln.files.whole import plain, write_atomically
from osln.rows.experiments import TAGGER, VERSIONED
from osln.weights.marks import Marks
from osln.weights.measurements import of_former_software
from osln.weights.store_state import SHIPPED, as_json

if TYPE_CHECKING:
    # torch comes with it, which takes seconds: who only lists versions does without.
    from osln.weights.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

END_SECONDS = 10.0
"""So long a training that was stopped may take to leave its network to the next one."""


class ReplacedError(ValueError):
    """What a publication was decided on is not in use any more."""


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


class ModelStore(Marks):
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

        asked = version or self.published(network)
        if asked is not None and is_whole(asked):
            return asked.path
        if version is None or version == self.published(network):
            self.check_in_use(network)
        if asked is None:
            raise ValueError(
                f"no weights for {network}: train it ({_training(network)}) or put them at "
                f"{self.root / SHIPPED}"
            )
        raise ValueError(
            f"{_damaged(asked)}; restore that file, or choose another version "
            f"(./scripts/osln models list {network})"
        )

    def lost(self, network: str) -> str:
        """Why the version in use cannot be read; "" if it can, or if nothing is in use."""
        history, used = self._state()["published"].get(network, []), self.published(network)
        if used is not None:
            return "" if is_whole(used) else _damaged(used)
        if not history:
            return ""
        folder = self.root / (SHIPPED if history[-1] == SHIPPED else network)
        return f"the published version {history[-1]} of {network} is gone from {folder}, or cannot be read"

    def check_in_use(self, network: str) -> None:
        """Raises ValueError, with what to do, if the version in use cannot be read; nothing may be in use."""
        told = self.lost(network)
        if not told:
            return
        state, used = self._state(), self.published(network)
        # Networks that left out patients stand for others and are no choice.
        others = (one for one in reversed(self.versions(network)) if "left_out" not in one.metadata)
        another = next((one.name for one in others if one != used and is_whole(one)), None)
        ways = ["restore its files"]
        if any(is_whole(one) for _, one in self._earlier(network, state)):
            ways.append(f"roll back (./scripts/osln models rollback {network})")
        elif another is not None:
            ways.append(f"publish another version (./scripts/osln models publish {network} {another})")
        ways.append(
            f"train from scratch ({_training(network)}{'' if network == TAGGER else ' --from-scratch'})"
        )
        raise ValueError(f"{told}; {', or '.join(ways)}")

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

    def publish(self, network: str, name: str, unless: Callable[[], str] = str) -> Version:
        """Puts a stored version into use; one atomic rename.

        Args:
            network: Whose.
            name: Of the version.
            unless: Asked while nobody else can publish or roll back: why it must not come into use any more,
                "" if it may.

        Raises:
            ReplacedError: With what `unless` says.
            ValueError: There is no such version, or it cannot be read.
        """
        version = self._named(network, name)
        # What reads a tagger stands above this package; its file was read before it was added.
        check = self.file if network == TAGGER else self.load
        check(network, version)
        with self._lock():
            if why := unless():
                raise ReplacedError(why)
            state = of_former_software(self._state())
            history = state["published"].setdefault(network, [])
            if not history or history[-1] != name:
                history.append(name)
            self._put(version, state)
        return version

    def _put(self, version: Version, state: dict[str, Any]) -> None:
        """Writes the state in which a version comes into use, with what stands in for its measurements."""
        trying = self.trying(version)
        for kind, entries in trying._stand_ins(version.network, self).items():
            for measured, entry in entries.items():
                state.setdefault(kind, {}).setdefault(measured, []).append(plain(dict(entry)))
        trying._no_more_tried(state)
        # Whoever publishes or rolls back decides anew.
        state.get("worse", {}).pop(version.network, None)
        self._write_state(state)

    def trying(self, version: Version) -> "ModelStore":
        """This store as it will be when a version is put into use, to measure with it before that."""
        from osln.weights.trying import Trying

        return Trying(self, version)

    @property
    def now(self) -> "ModelStore":
        """The store as it is, also of one in which a version is tried."""
        return self

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

    def rollback(self, network: str, tell: Callable[[str], object] = logger.warning) -> Version:
        """Puts the version before the published one back into use, the newest whose file is as it was stored.

        Args:
            network: Whose.
            tell: Told what was passed over, in a sentence.

        Raises:
            ValueError: If there is none.
        """
        _check_network(network)
        with self._lock():
            state = of_former_software(self._state())
            found = ((kept, one) for kept, one in self._earlier(network, state) if is_whole(one))
            kept, version = next(found, (0, None))
            *former, used = state["published"].get(network) or [SHIPPED]
            passed = [name for name in former[kept:] if name != used]
            if version is None:
                lost = f"; {_lost(passed)}" if passed else ""
                raise ValueError(f"{network} has no earlier version to roll back to{lost}")
            state["published"][network] = former[:kept]
            self._put(version, state)
        if passed:
            tell(f"passed over, on the way back to {version.name} of {network}: {_lost(passed)}")
        return version

    def former(self, network: str) -> Version | None:
        """The version that a rollback would put back into use if its file is whole; None if there is none."""
        earlier = (version for _, version in self._earlier(network, self._state()))
        return next((version for version in earlier if version.path.is_file()), None)

    def _earlier(self, network: str, state: Mapping[str, Any]) -> Iterator[tuple[int, Version]]:
        """What was in use before, the newest first, and how much of the history stays then."""
        history = state["published"].get(network, [])
        known = {version.name: version for version in self.versions(network)}
        for kept in range(len(history) - 1, -1, -1):
            name = history[kept - 1] if kept else SHIPPED
            if name in known and name != history[-1]:
                yield kept, known[name]

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
        read = {path.stem: self._read_version(path) for path in paths}
        return [(name, entry) for name, entry in read.items() if entry]


def is_whole(version: Version) -> bool:
    """Whether the file of a version is there as it was stored."""
    return version.path.is_file() and sha256_of(version.path) == version.sha256


def _damaged(version: Version) -> str:
    name = version.path.name
    return f"the weights {name} of {version.network} are missing or were changed after they were stored"


def _lost(names: Sequence[str]) -> str:
    return f"what was stored as {', '.join(dict.fromkeys(names))} is missing or was changed"


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
