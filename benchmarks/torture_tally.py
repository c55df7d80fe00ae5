"""What a part of the torture counts, and the one table that all parts make."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_WORDS = 40
"""Findings that a part keeps in words; the counts go on."""


@dataclass
class Tally:
    """The counts of one part.

    Attributes:
        part: Its name.
        size: What it did, in words.
        tried: Things that were asked for.
        acknowledged: Of these, answered as done.
        lost: Acknowledged and not there any more, or neither old nor new.
        errors: Answers of 500 and more. A full disk answers 507, a PACS that is away 502 to 504: these are
            the right answers there and not counted.
        hangs: Requests without an answer for 30 s, and servers that were dead or did not start again.
        leaks: Files left in the temporary folder after the server had ended, of `leaked_of` places.
        outside: Files written, changed or shown that do not belong to the store.
        orphans: Processes that outlived their server.
        info_ms: Milliseconds of every answer of `/info/` meanwhile.
        closed: Connections that the server closed without an answer.
        words: The findings in words, with what shows them.
        measured: Figures that only this part has.
        skipped: Why the part did not run; "" if it did.
    """

    part: str
    size: str = ""
    tried: int = 0
    acknowledged: int = 0
    lost: int = 0
    errors: int = 0
    hangs: int = 0
    leaks: int = 0
    outside: int = 0
    orphans: int = 0
    info_ms: list[float] = field(default_factory=list)
    closed: int = 0
    words: list[str] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    skipped: str = ""

    def found(self, kind: str, sentence: str, count: int = 1) -> None:
        """Counts a finding (the name of a field above) and keeps its words."""
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.words) < MOST_WORDS:
            self.words.append(f"{kind}: {sentence}")

    @property
    def failed(self) -> bool:
        """Whether something was lost, answered 5xx, hung, went outside or was orphaned."""
        return any((self.lost, self.errors, self.hangs, self.outside, self.orphans))

    def to_json(self) -> dict[str, Any]:
        """The counts, with `/info/` as its median and 99th percentile."""
        told = asdict(self)
        del told["info_ms"]
        return told | {
            "info_asked": len(self.info_ms),
            "info_median_ms": self.info(0.5),
            "info_p99_ms": self.info(0.99),
        }

    def info(self, share: float) -> float | None:
        """A quantile of the answers of `/info/`, ms; None if it was not asked."""
        waits = sorted(self.info_ms)
        return round(waits[min(int(share * len(waits)), len(waits) - 1)], 1) if waits else None


def table(tallies: Iterable[Tally]) -> str:
    """The parts as a table in Markdown."""
    lines = [
        "| part | size | tried | acknowledged | lost | 5xx | hangs | leaks | outside | orphans "
        "| `/info/` median, 99 % (ms) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for tally in tallies:
        if tally.skipped:
            lines.append(f"| {tally.part} | skipped: {tally.skipped} |" + " |" * 9)
            continue
        counts = (
            tally.tried, tally.acknowledged, tally.lost, tally.errors,
            tally.hangs, tally.leaks, tally.outside, tally.orphans,
        )  # fmt: skip
        waits = f"{tally.info(0.5):.0f}, {tally.info(0.99):.0f}" if tally.info_ms else "not asked"
        cells = [tally.part, tally.size, *map(str, counts), waits]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
