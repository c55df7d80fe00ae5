"""The examples in docstrings say what the functions give (that of `detect`: test_detection)."""

import pytest

from osln.imaging.grid import Grid
from osln.imaging.resampling import resample
from osln.metrics.froc import froc
from osln.metrics.matching import match
from small.examples import failed_and_all


@pytest.mark.parametrize("subject", [Grid, resample, match, froc], ids=lambda subject: subject.__name__)
def test_an_example_gives_what_it_shows(subject):
    assert failed_and_all(subject) == (0, 2)
