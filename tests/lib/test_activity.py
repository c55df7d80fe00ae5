"""Whether somebody works: requests that change or compute something."""

import anyio
import pytest

from lib.activity import Activity, Noticing


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def activity(clock):
    return Activity(lambda: clock[0])


def test_nobody_works_from_the_end_of_the_last_request_on(activity, clock):
    clock[0] = 130.0
    assert activity.quiet_s == 30.0
    with activity.at_work():
        clock[0] = 150.0
        with activity.at_work():
            pass
        assert activity.quiet_s == 0.0, "another one is still at work"
        clock[0] = 160.0
    clock[0] = 165.0
    assert activity.quiet_s == 5.0


def test_a_request_that_fails_has_ended(activity, clock):
    with pytest.raises(ValueError, match="broken"), activity.at_work():
        raise ValueError("broken")
    clock[0] = 101.0
    assert activity.quiet_s == 1.0


@pytest.mark.parametrize(
    ("scope", "counts"),
    [
        ({"type": "http", "method": "POST"}, True),
        ({"type": "http", "method": "PUT"}, True),
        ({"type": "http", "method": "GET"}, False),
        ({"type": "http", "method": "HEAD"}, False),
        ({"type": "lifespan"}, False),
    ],
)
def test_requests_that_only_read_do_not_count(activity, clock, scope, counts):
    seen = []

    async def routes(scope, receive, send):
        clock[0] = 110.0
        seen.append(activity.quiet_s)

    anyio.run(Noticing(routes, activity), scope, None, None)
    clock[0] = 120.0
    assert seen == [0.0 if counts else 10.0] and activity.quiet_s == (10.0 if counts else 20.0)
