"""DICOM data sets with attributes taken out, emptied or replaced, as damaged or hostile files have them."""

import io
import warnings

import pydicom
from hypothesis import strategies as st
from pydicom.dataset import Dataset

VALUES = (
    "x",
    "1",
    "-1",
    "99999999999999999999",
    "1e400",
    "nan",
    "1\\2",
    "1\\2\\x",
    0,
    -1,
    2**31 - 1,
    b"\xff",
)
KINDS = ("remove", "empty", "value", "value", "twice")
CHANGES = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(KINDS), st.sampled_from(VALUES)), min_size=1, max_size=3
)
"""Which element, what is done to it, and what it is replaced by."""


def elements(ds: Dataset) -> list:
    """Every element with the data set that holds it, those of sequences too."""
    found = []
    for element in ds:
        found.append((ds, element.tag))
        if element.VR == "SQ":
            for item in element.value or []:
                found += elements(item)
    return found


def changed(data: bytes, changes) -> Dataset:
    """A file's data set with some of its elements changed."""
    ds = pydicom.dcmread(io.BytesIO(data))
    for place, kind, value in changes:
        places = elements(ds)
        holder, tag = places[place % len(places)]
        element = holder[tag]
        if kind == "remove":
            del holder[tag]
        elif element.VR == "SQ":
            element.value = list(element.value or []) * 2 if kind == "twice" else []
        else:
            # A file can hold what pydicom would not write: the value is put in past its checks.
            element._value = "" if kind == "empty" else value
    return ds


def refusal_or(call, *arguments):
    """A call's result, or the ValueError that it was refused with; other errors pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*arguments)
        except ValueError as error:
            return error
