"""Values as JSON can hold them."""

import json

import numpy as np
import pytest

from osln.files.arrays import plain


def test_numpy_values_become_plain_and_what_json_cannot_say_becomes_null():
    values = {1: np.float32(0.5), "a": np.arange(2), "b": (np.int64(3), float("nan")), "c": np.inf}
    values["d"] = np.array([[1.5, np.nan]])
    assert plain(values) == {"1": 0.5, "a": [0, 1], "b": [3, None], "c": None, "d": [[1.5, None]]}
    json.dumps(plain(values), allow_nan=False)


def test_what_has_no_form_in_json_is_refused():
    with pytest.raises(ValueError, match="a set cannot be stored"):
        plain({"a": {1}})
