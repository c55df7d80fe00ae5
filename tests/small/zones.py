"""The local time zone of a test."""

import os
import time
from contextlib import contextmanager

UTC, BERLIN = "UTC0", "CET-1CEST,M3.5.0,M10.5.0/3"


@contextmanager
def local_zone(zone):
    """Inside, local time is that of a zone, as the variable TZ has it."""
    former = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        if former is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = former
        time.tzset()
