"""Values become what JSON knows, or are refused."""

import json

import numpy as np
import pytest
import torch

from osln.files.arrays import plain


def test_plain_values_keep_their_kind():
    assert plain({"a": True, "b": None, "c": (1, 2.5, "x"), "d": float("inf")}) == {
        "a": True,
        "b": None,
        "c": [1, 2.5, "x"],
        "d": None,
    }
    assert plain(np.bool_(True)) is True and plain(torch.tensor(2)) == 2


def test_numpy_values_become_plain_and_what_json_cannot_say_becomes_null():
    values = {1: np.float32(0.5), "a": np.arange(2), "b": (np.int64(3), float("nan")), "c": np.inf}
    values["d"] = [np.array([[1.0, np.nan]]), np.ones(1)]

    assert plain(values) == {"1": 0.5, "a": [0, 1], "b": [3, None], "c": None, "d": [[[1.0, None]], [1.0]]}
    json.dumps(plain(values), allow_nan=False)


def test_a_value_without_a_json_form_is_refused_by_its_kind():
    with pytest.raises(ValueError, match="a set cannot be said in JSON"):
        plain({"a": [{1}]})
