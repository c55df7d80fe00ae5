"""Which case an annotator gets next, and which candidates in it first; every strategy says why.

A case that somebody else works on, or that was skipped, comes after all others. The rules themselves are
those of `osln.active.strategies`; here they meet the store.
"""

import logging
import random
import time
import zlib
from abc import abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.utils.others.generic import file_checksum

from lib.store import evidence
from lib.store.offered import NoPredictionError, offered
from lib.store.reviews import review_in_short
from lib.store.worklist import in_part, to_complete
from lib.who import author
from osln.active.evidence import WindowEvidence
from osln.active.strategies import Pool, Query, Waiting, propose

logger = logging.getLogger(__name__)

Keys = Callable[[], Container[str]]
ROUND_CASES, ROUNDS = 6, 6
"""Labeled cases after which chance plays a smaller part, and how many times it does: as simulated."""
LATE = ("", "somebody works on it", "skipped before")
"""Why a case comes in its turn (`_turns`)."""
NO_OTHER = "no other case is without an approved label"
ABOUT = {
    "mixed": "Case by chance; mostly its likeliest candidates",
    "likeliest": "Case by chance; its likeliest candidates alone",
    "doubt": "Where candidates of every zone and size, and places outside them, are most in doubt",
    "disagreement": "Where the networks disagree most about candidates",
    "diverse": "Typical cases of kinds of which few are labeled; needs no weights",
}


@dataclass(frozen=True)
class Proposal:
    """A case that is proposed.

    Attributes:
        case: Its id.
        why: In a sentence, for the annotator.
        about: Further keys of the reply to a viewer.
    """

    case: str
    why: str
    about: Mapping[str, Any]


class Proposing(Strategy):
    """A strategy that can be asked without handing a case out."""

    @abstractmethod
    def propose(self, request: dict[str, Any], datastore: Datastore) -> Proposal | None:
        """The next case; None if every case has an approved label. Reads no image."""

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        found = self.propose(request, datastore)
        return found and sample(datastore, found.case) | {"why": found.why, **found.about}


class First(Proposing):
    """The first case by name that has no approved label: the same for everybody who asks."""

    def __init__(self) -> None:
        super().__init__("First case by name without an approved label")

    def propose(self, request: dict[str, Any], datastore: Datastore) -> Proposal | None:
        waiting, late = waiting_cases(datastore, author(request))
        if not waiting:
            return None
        others = f" of {len(waiting)}" if len(waiting) > 1 else ", the last one"
        return Proposal(min(waiting), late or f"first by name{others} without an approved label", {})


class Random(Proposing):
    """A case without an approved label by chance, so that two annotators seldom get the same one.

    A case is the likelier the longer ago it was handed out. MONAI Label's own strategy of this name
    reports the weight of another case than the one it chose, and fails if all were handed out within
    the same second.
    """

    def __init__(self) -> None:
        super().__init__("Random case without an approved label")

    def propose(self, request: dict[str, Any], datastore: Datastore) -> Proposal | None:
        waiting, late = waiting_cases(datastore, author(request))
        if not waiting:
            return None
        now = time.time()
        seconds = [now - handed_out(datastore, case, request.get("strategy", "random")) for case in waiting]
        weights = [max(1.0, elapsed) for elapsed in seconds]
        (chosen,) = random.choices(range(len(waiting)), weights=weights)
        logger.info("strategy random: %s of %d waiting cases", waiting[chosen], len(waiting))
        why = late or f"by chance out of {len(waiting)} without an approved label"
        return Proposal(waiting[chosen], why, {"weight": weights[chosen] / sum(weights)})


class Active(Proposing):
    """A rule of `osln.active.strategies` on the evidence that predictions have left in the store.

    The same annotator gets the same case until something is decided; another one gets another.

    Args:
        name: In `osln.active.strategies.STRATEGIES`.
        about: What it does, for the viewers' list.
        most: Candidates that are asked in one case at most.
        keys: Gives the keys of the weights in use.
    """

    def __init__(self, name: str, about: str, most: int, keys: Keys) -> None:
        super().__init__(about)
        self.name, self.most, self.keys = name, most, keys

    def propose(self, request: dict[str, Any], datastore: Datastore) -> Proposal | None:
        annotator = author(request)
        unlabeled = _turns(datastore, annotator, sorted(datastore.get_unlabeled_images()))
        # These need all of their candidates decided.
        partial = _turns(datastore, annotator, to_complete(datastore))
        found = (one for one in zip(unlabeled, partial, LATE, strict=True) if one[0] or one[1])
        waiting, incomplete, late = next(found, ([], [], ""))
        if not waiting and not incomplete:
            return None
        pool = pool_of(datastore, waiting, incomplete, described=self.name == "diverse")
        query = self.ask(pool, annotator, len(datastore.get_labeled_images()), Path(datastore.root))
        logger.debug("strategy %s: %s of %d waiting cases", self.name, query.case, len(pool.waiting))
        left = NO_OTHER if query.case in waiting else "no other case waits"
        why = f"{late}; {left}; {query.why}" if late else query.why
        return Proposal(query.case, why, told(query, pool))

    def within(self, request: dict[str, Any], datastore: Datastore, case: str) -> dict[str, Any]:
        """What the strategy would ask in a case that somebody has opened; keys as of `told`, and `why`.

        Nothing in a case whose label is complete: what was left undecided in it was left on purpose.
        """
        if "final" in datastore.index().objects[case].labels and not in_part(datastore, case):
            return {"why": "its label is complete", "value": None, "candidates": [], "windows": []}
        # As `propose` asks: one that judges networks needs all of its candidates decided.
        whole = [case] if case in to_complete(datastore) else []
        pool = pool_of(datastore, [case], whole, described=False)
        query = self.ask(pool, author(request), len(datastore.get_labeled_images()), Path(datastore.root))
        return {"why": query.why, **told(query, pool)}

    def ask(self, pool: Pool, annotator: str, labeled: int, root: Path) -> Query:
        """The first query of the rule; by chance, and saying so, if the rule fails."""
        asked = {
            "seed": zlib.crc32(annotator.encode()),
            "round": 1 + labeled // ROUND_CASES,
            "rounds": ROUNDS,
            "count": 1,
            "k": self.most,
        }
        try:
            return self.dated(propose(self.name, pool, **asked)[0], root)
        except Exception:
            logger.exception("The strategy %s failed", self.name)
            (query,) = propose("random", pool, **asked)
            return replace(query, why=f"{query.why}: the scores of {self.name} failed, see the log")

    def dated(self, query: Query, root: Path) -> Query:
        """The query; its sentence says if its scores are of former weights or files."""
        made = evidence.kept(root, query.case)
        if made is None or not (query.candidates or query.windows):
            return query
        if made.weights not in self.keys():
            return replace(query, why=f"{query.why} (scores of former weights)")
        try:
            same = made.marks == evidence.marks(root, query.case)
        except (ValueError, OSError):
            same = False
        return (
            query if same else replace(query, why=f"{query.why} (its files have changed since: find nodes)")
        )


def told(query: Query, pool: Pool) -> dict[str, Any]:
    """What a viewer is told of a query besides its case and why.

    Returns:
        `value`; `candidates`, in the order to be asked, each with `number` (as in the stored prediction),
        `center_mm` (RAS) and `radius_mm`; `windows` to look at, each with `center_mm` and `size_mm`.
    """
    evidence = next(one.evidence for one in pool.waiting if one.case == query.case)
    if evidence is None:
        return {"value": query.value, "candidates": [], "windows": []}
    by_number = {one.candidate: one for one in evidence.candidates}
    asked = [by_number[number] for number in query.candidates]
    windows = [evidence.windows[index] for index in query.windows]
    return {
        "value": round(query.value, 4),
        "candidates": [
            {"number": one.candidate, "center_mm": list(one.center_mm), "radius_mm": one.size_mm / 2}
            for one in asked
        ],
        "windows": [{"center_mm": list(one.center_mm), "size_mm": one.size_mm} for one in windows],
    }


def pool_of(store: Any, waiting: Sequence[str], incomplete: Sequence[str], *, described: bool) -> Pool:
    """The cases with all that is known of them.

    Args:
        store: An `OslnDatastore`.
        waiting: Cases to choose from.
        incomplete: Cases of which only the rest is asked.
        described: Whether the descriptors are needed.
    """
    entries = []
    for case in dict.fromkeys([*incomplete, *waiting]):
        kept, known = evidence.kept(store.root, case), _described(store, case) if described else None
        decided = frozenset(_decided(store, case))
        found = kept.evidence if kept else None
        seen = frozenset(_seen(store, case, found.windows)) if found else frozenset()
        entries.append(Waiting(case, found, decided, seen, known, case in incomplete))
    labeled = store.get_labeled_images() if described else []
    there = {case: known for case in labeled if (known := _described(store, case)) is not None}
    return Pool(entries, there)


def _described(store: Any, case: str) -> tuple[float, ...] | None:
    found = evidence.kept_descriptor(store.root, case)
    return found.values if found else None


def _decided(store: Any, case: str) -> list[int]:
    """Numbers of the candidates of the stored prediction that the newest review decides."""
    if "final" not in store.index().objects[case].labels:
        return []
    try:
        found = offered(store, case)["candidates"]
    except (NoPredictionError, ValueError):
        return []
    return [
        one["id"] for one in found if one["state"] not in (None, "undecided") and isinstance(one["id"], int)
    ]


def _seen(store: Any, case: str, windows: Sequence[WindowEvidence]) -> list[int]:
    """Indices of the windows with a place in them that the newest review says was looked at."""
    label = store.index().objects[case].labels.get("final")
    revision = label.info.get("revision") if label else None
    review = review_in_short(store.root, case, revision) if revision else None
    places = review["looked_at"] if review else []
    return [
        index
        for index, window in enumerate(windows)
        if any(
            max(abs(a - b) for a, b in zip(place, window.center_mm, strict=True)) <= window.size_mm / 2
            for place in places
        )
    ]


def waiting_cases(datastore: Datastore, annotator: str) -> tuple[list[str], str]:
    """The cases that are proposed to an annotator, by name.

    Returns:
        Those without an approved label that nobody has skipped and nobody else works on. Where there are
        none, those that others work on; where there are none either, the skipped ones; and then why.
    """
    turns = _turns(datastore, annotator, sorted(datastore.get_unlabeled_images()))
    cases, late = next((one for one in zip(turns, LATE, strict=True) if one[0]), ([], ""))
    return cases, f"{late}; {NO_OTHER}" if late else ""


def _turns(
    datastore: Datastore, annotator: str, cases: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """The cases that are free, those that others work on, and the skipped ones: each before the next."""
    skipped, others = datastore.skipped(), others_have(datastore, annotator)
    kept = [case for case in cases if case not in skipped]
    return (
        [case for case in kept if case not in others],
        [case for case in kept if case in others],
        [case for case in cases if case in skipped],
    )


def others_have(datastore: Datastore, annotator: str) -> set[str]:
    """Cases that others work on."""
    return {case for case, lease in datastore.leases().items() if lease["by"] != annotator}


def sample(datastore: Datastore, case: str) -> dict[str, Any]:
    """What a viewer is told of its next case.

    The checksum makes Slicer look at what it has downloaded before: without one it shows any file that has
    the CT's name, for instance another store's.
    """
    return {"id": case, "checksum": file_checksum(datastore.get_image_uri(case))}


def handed_out(datastore: Datastore, case: str, strategy: str) -> float:
    """When a strategy last returned this case, in seconds since the epoch; 0 if never."""
    stamps = datastore.get_image_info(case).get("strategy")
    stamp = stamps.get(strategy) if isinstance(stamps, dict) else None
    ts = stamp.get("ts") if isinstance(stamp, dict) else None
    # A time to come is none at which it was handed out, and would keep the case from everybody until then.
    return float(ts) if isinstance(ts, int | float) and 0 <= ts <= time.time() else 0.0


def build(most: int, keys: Keys) -> dict[str, Strategy]:
    """The strategies by the name clients use, the default first; Slicer's module falls back to "random".

    Args:
        most: Candidates that are asked in one case at most.
        keys: Gives the keys of the weights in use, as evidence names them.
    """
    active = {name: Active(name, about, most, keys) for name, about in ABOUT.items()}
    return {**active, "random": Random(), "first": First()}
