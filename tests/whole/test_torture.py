"""The short form of the torture: nothing lost, no 5xx, nothing outside, no process left behind."""

import pytest

from benchmarks.torture import PARTS, SHORT, report, run

pytestmark = [pytest.mark.server, pytest.mark.slow]

SEED = 0


@pytest.mark.parametrize("part", PARTS)
def test_a_store_and_its_server_come_through_a_hard_time(part, require):
    [tally] = run([part], SHORT, SEED)
    if tally.skipped:
        require(tally.part, tally.skipped)
    assert not tally.failed, report([tally])
    assert tally.tried and tally.acknowledged, "a part that tried nothing shows nothing"
