"""Every range that a realistic phantom is drawn from stands in one of two classes, with its source."""

import ast
import hashlib
import inspect
import re
from dataclasses import asdict, fields

import numpy as np
import pytest

from osln.phantom import PhantomParameters, RealisticParameters
from osln.phantom.realistic import body, look, scanner, tissue
from osln.phantom.realistic.parameters import ENHANCEMENT_HU
from osln.phantom.realistic.ranges import ADDED, AddedRanges

SOURCE = re.compile(
    r"\b10\.\d{4,5}/\S{5,}|PMID \d+|PMC\d+|[Mm]easured|[Cc]hosen: \w+.{15,}", re.DOTALL
)  # A DOI, a number of PubMed, the project's own measurement, or a reason.
DRAWN_FROM_A_LITERAL = re.compile(
    r"rng\.(uniform|integers)\([^*l)][^)]*,|rng\.normal\([^,)]*, [\d.]|rng\.random\(\) (<|>=) [\d.]|p=\("
)


def told_of(kind: type) -> dict[str, str]:
    """The string after each field."""
    (node,) = ast.parse(inspect.getsource(kind)).body
    told = {}
    for field, following in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            text = following.value.value if isinstance(following, ast.Expr) else ""
            told[field.target.id] = " ".join(text.split())
    return told


KNOBS = {
    **{name: text for name, text in told_of(RealisticParameters).items() if name != "look_version"},
    **told_of(AddedRanges),
}


def test_all_fields_are_asked_about():
    own = {f.name for f in fields(RealisticParameters)} - {f.name for f in fields(PhantomParameters)}
    assert {*KNOBS, "look_version"} == own | {f.name for f in fields(AddedRanges)}


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob_says_where_its_range_comes_from(name):
    assert SOURCE.search(KNOBS[name]), f"{name}: expected a DOI, PMID, measurement or reason: {KNOBS[name]!r}"


@pytest.mark.parametrize(
    "text", ["", "Soft to medium kernels; chosen.", "Chosen: so.", "Usual in hospitals."]
)
def test_a_wish_is_no_source(text):
    assert not SOURCE.search(text)


@pytest.mark.parametrize(
    "name", [f.name for f in fields(AddedRanges) if f.type in ("Range", "Box", "Counts")]
)
def test_ranges_begin_below_their_ends(name):
    assert (np.diff(np.atleast_2d(getattr(ADDED, name))) > 0).all()


def test_shares_of_what_bowel_holds_are_a_whole():
    assert sum(ADDED.lumen_share) == pytest.approx(1.0) and len(ADDED.lumen_share) == len(ADDED.lumen_hu)


@pytest.mark.parametrize("module", [body, look, scanner, tissue])
def test_nothing_is_drawn_from_a_range_that_is_no_knob(module):
    lines = inspect.getsource(module).replace("rng.uniform(0, 2 * np.pi", "").splitlines()
    assert [line for line in lines if DRAWN_FROM_A_LITERAL.search(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "rng.uniform(-70, 30)",
        "rng.integers(2, 6)",
        "rng.normal(0, 4, 3)",
        "if rng.random() < 0.5:",
        "rng.choice(2, p=(0.5, 0.5))",
    ],
)
def test_a_range_in_the_code_is_seen(line):
    assert DRAWN_FROM_A_LITERAL.search(line)


def test_ranges_outside_the_cohorts_key_are_held_to_the_version_inside_it():
    content = repr((asdict(ADDED), ENHANCEMENT_HU)).encode()
    known = {1: "71f9a164ea5c"}
    assert known.get(RealisticParameters().look_version) == hashlib.sha256(content).hexdigest()[:12], (
        "other ranges make other phantoms: raise look_version and add its digest here"
    )
