"""How far a run is."""

import sys
from collections.abc import Mapping

from tqdm import tqdm


class Bar:
    """One bar for all artifacts, in seconds of one core.

    Args:
        costs: Of each artifact.
    """

    def __init__(self, costs: Mapping[str, float]) -> None:
        self.costs = costs
        self.shares = dict.fromkeys(costs, 0.0)
        form = "{percentage:3.0f}%|{bar:30}| {elapsed} run, {remaining} left{postfix}"
        # Rates of the kinds of artifacts differ: only the mean of all tells the time left.
        every = 0.5 if sys.stderr.isatty() else 30.0
        total = sum(costs.values())
        self.bar = tqdm(total=total, smoothing=0, bar_format=form, mininterval=every, maxinterval=2 * every)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def hear(self, name: str, share: float, words: str) -> None:
        """Moves the bar by what a worker has told; one that began again does not move it back."""
        if name in self.shares:
            self._move(name, share)
            self.bar.set_postfix_str(f"{name} {words}".strip(), refresh=False)

    def finish(self, name: str) -> None:
        """The artifact is made or given up."""
        self._move(name, 1.0)

    def _move(self, name: str, share: float) -> None:
        share = min(max(share, self.shares[name]), 1.0)
        # Sums of shares may end a little above the total.
        self.bar.update(min((share - self.shares[name]) * self.costs[name], self.bar.total - self.bar.n))
        self.shares[name] = share
