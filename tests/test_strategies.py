import time
from collections import Counter

import pytest

from lib.strategies import build


class Store:
    """The two methods of a datastore that strategies use."""

    def __init__(self, stamps: dict[str, float]) -> None:
        self.stamps = stamps

    def get_unlabeled_images(self) -> list[str]:
        return list(self.stamps)

    def get_image_info(self, case: str) -> dict:
        return {"strategy": {"random": {"ts": self.stamps[case]}}} if self.stamps[case] else {}


def test_first_is_the_first_by_name():
    assert build()["first"]({"strategy": "first"}, Store({"p10": 0, "p02": 0, "p1": 0})) == {"id": "p02"}


@pytest.mark.parametrize("name", ["first", "random"])
def test_nothing_is_left_when_every_case_has_an_approved_label(name):
    assert not build()[name]({"strategy": name}, Store({}))


def test_random_reports_the_weight_of_the_case_it_chose():
    now = time.time()
    for _ in range(5):
        sample = build()["random"]({"strategy": "random"}, Store({"new": now - 999, "old": now}))
        assert sample["weight"] == pytest.approx({"new": 0.999, "old": 0.001}[sample["id"]], abs=1e-5)


def test_random_prefers_what_was_handed_out_long_ago_and_never_gives_up():
    now = time.time()
    store = Store({"just now": now, "also": now, "an hour ago": now - 3600})
    chosen = Counter(build()["random"]({"strategy": "random"}, store)["id"] for _ in range(200))
    assert chosen["an hour ago"] > 190
    assert build()["random"]({"strategy": "random"}, Store({"just now": now}))["id"] == "just now"
