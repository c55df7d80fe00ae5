"""Whether a new version is put to use, in a sentence with the numbers that it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass

from osln.retraining.judgment import Judgment
from osln.rows.experiments import SEGMENTERS
from osln.weights.model_store import Version

IN_USE = "in use"
WITHOUT = "stage one alone"
REPLACED = "stage one was replaced meanwhile, on whose candidates it was not compared"


def metric_name(network: str) -> str:
    """What a network is judged by (paper, section 4.3)."""
    return "mRecall" if network in SEGMENTERS else "mFROC"


@dataclass(frozen=True)
class Verdict:
    """What is decided about a new version.

    Attributes:
        version: The new version.
        before: Version in use when the training began, or None.
        now: Version in use by now: another one if somebody published or rolled back meanwhile.
        outdated: Whether the stage one whose candidates both were compared on was replaced meanwhile.
        rival: What it was compared with, if that is not `before`: a network's name.
        metric, metric_before: Figures of both; None if there is no node to judge by, or no rival.
        judgments: Against what is `IN_USE` and, for stage two, against stage one alone (`WITHOUT`).
        highest_risk: Probability of being worse below which it passes.
        lost: Why the version in use cannot be compared with: its files are gone or damaged; "" if it can.
    """

    version: Version
    before: Version | None
    now: Version | None
    outdated: bool
    rival: str | None
    metric: float | None
    metric_before: float | None
    judgments: Mapping[str, Judgment]
    highest_risk: float
    lost: str = ""

    @property
    def passes(self) -> bool:
        """Whether the version may be put to use."""
        judged = self.compared and self.not_below_none and self.not_likely_worse and self.finds_something
        return self.metric is not None and judged

    @property
    def compared(self) -> bool:
        """Whether what is in use is what it was compared with, and on."""
        return not self.lost and not self.outdated and self._same

    @property
    def _same(self) -> bool:
        return (self.before and self.before.sha256) == (self.now and self.now.sha256)

    @property
    def not_below_none(self) -> bool:
        """Whether stage two does not find less than its candidates do under stage one's own scores."""
        without = self.judgments.get(WITHOUT)
        return without is None or without.difference is None or without.difference >= 0

    @property
    def finds_something(self) -> bool:
        """Whether a version that nothing stands beside has found any node at all."""
        return IN_USE in self.judgments or bool(self.metric)

    @property
    def not_likely_worse(self) -> bool:
        """Whether it is the first, or the risk of being worse than what is in use is low."""
        return IN_USE not in self.judgments or self.judgments[IN_USE].passes(self.highest_risk)

    def told(self, *, asked: bool) -> tuple[str, str]:
        """What happens and why, and what to do now.

        Args:
            asked: Whether the version is to be published if it passes.
        """
        name, network = self.version.name, self.version.network
        by_hand = f"./scripts/osln models publish {network} {name}"
        if self.metric is None:
            where = " in its zone" if network in SEGMENTERS else ""
            return (
                f"{name} was trained and stored but not published: no approved case that it has not learned "
                f"from has a node{where} to judge it by",
                f"approve further cases with nodes and train again, or publish by hand: {by_hand}",
            )
        if self.lost:
            return (
                f"{name} was trained and stored but not published, because nothing can be compared with what "
                f"is in use: {self.lost}: {self._figures()}",
                f"publish by hand: {by_hand}, or restore that version and train again to have both compared",
            )
        if not self.compared:
            other = self.now.name if self.now else "nothing"
            meanwhile = (
                REPLACED
                if self._same
                else f"meanwhile {other} was put to use, which it was not compared with"
            )
            return (
                f"{name} was trained and stored but not published: {meanwhile}: {self._figures()}",
                f"train again, or publish by hand: {by_hand}",
            )
        if not self.not_below_none:
            return (
                f"{name} was trained and stored but not published, because stage one alone finds more: "
                f"{self._figures()}",
                f"approve further cases and train again, or publish by hand: {by_hand}",
            )
        if not self.finds_something:
            return (
                f"{name} was trained and stored but not published, as it finds no node: {self._figures()}",
                f"train longer or approve further cases, or publish by hand: {by_hand}",
            )
        if not self.not_likely_worse:
            return (
                f"{name} was trained and stored but not published, {self._doubt()}: {self._figures()}",
                f"{self._more()}, or publish by hand: {by_hand}",
            )
        if not asked:
            return (f"{name} was trained and stored, not published as asked: {self._figures()}", by_hand)
        return (
            f"{name} is published: {self._figures()}",
            "ask for the nodes of the next case"
            + (f"; ./scripts/osln models rollback {network} undoes this" if self.before else ""),
        )

    def _doubt(self) -> str:
        judged = self.judgments[IN_USE]
        if judged.risk is None:
            return "because one patient with nodes cannot tell"
        if judged.difference == 0 and judged.low == judged.high:
            return "because nothing tells it from what is in use"
        if judged.risk > 0.5:
            return f"because it is worse with a probability of {judged.risk:.0%}"
        return (
            f"because it could be worse with a probability of {judged.risk:.0%}, more than "
            f"{self.highest_risk:.0%}"
        )

    def _more(self) -> str:
        judged = self.judgments[IN_USE]
        if judged.patients_to_tell is None:
            return "approve further cases and train again"
        further = judged.patients_to_tell - judged.patients
        return f"about {further} more patients to judge by would tell, if they are like these"

    def _figures(self) -> str:
        told = f"{metric_name(self.version.network)} {self.metric:.3f}"
        if self.metric_before is not None:
            told += f", {self.rival or (self.before and self.before.name)} has {self.metric_before:.3f}"
        if judged := self.judgments.get(IN_USE) or self.judgments.get(WITHOUT):
            patients = "1 patient" if judged.patients == 1 else f"{judged.patients} patients"
            told += f" on {patients} with {'1 node' if judged.nodes == 1 else f'{judged.nodes} nodes'}"
        if (judged := self.judgments.get(IN_USE)) and judged.low is not None:
            told += f"; difference {judged.difference:+.3f} [{judged.low:+.3f}, {judged.high:+.3f}]"
        without = self.judgments.get(WITHOUT)
        if without and without.difference is not None:
            told += f"; {without.difference:+.3f} against stage one alone"
        return told
