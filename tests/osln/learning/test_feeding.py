"""Batches made ahead are those that would be made one by one, in the same order."""

import threading

import pytest

from osln.learning.feeding import Ahead


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("first", [0, 4])
def test_every_batch_comes_in_its_turn_and_is_made_once(threads, first):
    made = []

    def square(step: int) -> int:
        made.append(step)
        return step * step

    batches = Ahead(square, 7, threads)

    assert [batches(step) for step in range(first, 7)] == [step * step for step in range(first, 7)]
    assert sorted(made) == list(range(first, 7))


def test_the_next_batches_are_made_before_they_are_asked_for():
    made = {step: threading.Event() for step in range(9)}
    batches = Ahead(lambda step: made[step].set(), 9, 2)

    batches(0)

    assert made[1].wait(10) and made[2].wait(10)
    assert not made[3].is_set()


def test_closing_waits_for_what_is_being_made_and_drops_the_rest():
    begun, go_on, made = threading.Event(), threading.Event(), []

    def slow(step: int) -> None:
        if step:
            begun.set()
            assert go_on.wait(10)
        made.append(step)

    before = set(threading.enumerate())
    batches = Ahead(slow, 9, 1)
    batches(0)
    assert begun.wait(10) and set(threading.enumerate()) - before
    threading.Timer(0.05, go_on.set).start()
    batches.close()

    assert made == [0, 1]
    batches.close()
    assert batches(7) is None
    batches.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("batches")]


def test_a_step_that_was_not_announced_is_made_all_the_same():
    batches = Ahead(lambda step: step, 9, 2)

    assert [batches(step) for step in (0, 5, 6, 2)] == [0, 5, 6, 2]


@pytest.mark.parametrize("threads", [0, 2])
def test_what_fails_fails_where_it_is_asked_for(threads):
    def odd(step: int) -> int:
        if step == 1:
            raise ValueError("no patch")
        return step

    batches = Ahead(odd, 3, threads)

    assert batches(0) == 0
    with pytest.raises(ValueError, match="no patch"):
        batches(1)
    assert batches(2) == 2
