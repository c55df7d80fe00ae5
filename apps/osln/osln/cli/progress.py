"""Progress bars on the standard error, shown on a terminal only."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def each(items: Iterable[Item], what: str, unit: str = "case", total: int | None = None) -> Iterable[Item]:
    """The items, one by one, with a bar; `total` says how many where they do not."""
    return tqdm(items, desc=what, unit=unit, total=total, disable=None)


@contextmanager
def shares() -> Iterator[Callable[[str, float], None]]:
    """A function that shows what is being done and which share, 0 to 1, is behind."""
    with tqdm(total=100, bar_format="{percentage:3.0f} % {desc}", disable=None) as bar:

        def tell(words: str, share: float) -> None:
            bar.set_description_str(words, refresh=False)
            bar.update(max(0.0, 100 * share - bar.n))
            bar.refresh()

        yield tell


@contextmanager
def steps(name: str) -> Iterator[Callable[[int, int, dict[str, Any]], None]]:
    """A function that shows the step of a training, of how many, and figures; those that are None are not."""
    with tqdm(desc=name, unit="step", disable=None) as bar:

        def tell(step: int, total: int, figures: dict[str, Any]) -> None:
            bar.total = total
            known = {key: round(value, 3) for key, value in figures.items() if value is not None}
            bar.set_postfix(known, refresh=False)
            bar.update(step - bar.n)
            bar.refresh()

        yield tell
