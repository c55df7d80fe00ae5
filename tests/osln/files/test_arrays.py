"""Values become what JSON knows, or are refused; arrays come back as they were written, or not at all."""

import json

import numpy as np
import pytest
import torch

from osln.files.arrays import plain, read_array, read_arrays, write_array, write_arrays


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


def damaged(data):
    """A file with each bit flipped in turn, with a stretch of zeros, cut at each place, and with a tail."""
    for at in range(len(data)):
        yield data[:at]
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
    for at in range(0, len(data) - 40, 20):
        if any(data[at : at + 40]):
            yield data[:at] + bytes(40) + data[at + 40 :]
    yield data + b"more"


def test_a_damaged_array_is_refused_or_what_was_written(tmp_path):
    path = tmp_path / "folder" / "one.npy"
    array = np.linspace(0.1, 0.9, 6, dtype=np.float32).reshape(2, 3)
    write_array(path, array)
    assert np.array_equal(read_array(path), array) and np.array_equal(np.load(path), array)
    refused = 0
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        try:
            # Cut where the checksum begins it is as former software wrote it.
            assert np.array_equal(read_array(path), array)
        except ValueError:
            refused += 1
    assert refused > 450


def test_damaged_arrays_are_refused_or_what_was_written(tmp_path):
    path = tmp_path / "two.npz"
    write_arrays(path, {"ct": np.arange(3), "pet": np.ones(2)})
    assert read_arrays(path)["ct"].tolist() == [0, 1, 2] == np.load(path)["ct"].tolist()
    refused = 0
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        try:
            found = read_arrays(path)
            assert found.keys() == {"ct", "pet"} and found["pet"].tolist() == [1, 1]
        except ValueError:
            refused += 1
    assert refused > 1000


def test_arrays_of_before_there_were_checksums_are_read(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(3))
    np.savez(tmp_path / "two.npz", ct=np.arange(3))
    assert read_array(tmp_path / "one.npy").tolist() == read_arrays(tmp_path / "two.npz")["ct"].tolist()
    (tmp_path / "one.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', ((((" + bytes(200))
    with pytest.raises(ValueError, match=r"."):
        read_array(tmp_path / "one.npy")
