"""Code is known by what it does: neither by its comments nor by where it lies."""

import io
import tokenize

import pytest

from osln.files import code
from osln.files.code import bare, code_key
from osln.output.writing import CODE
from osln.reproduction import code as reproduction
from osln.simulation import code as simulation
from small.imports import APP, imported_by


@pytest.fixture
def key(tmp_path, monkeypatch):
    """`code_key` of two parts after a file was written."""
    (tmp_path / "active").mkdir()
    (tmp_path / "active" / "one.py").write_text("a = 1")
    monkeypatch.setattr(code, "_ROOT", tmp_path)

    def written(path, text):
        (tmp_path / path).write_text(text)
        return code_key.__wrapped__(("active", "two.py"))

    return written


def test_code_is_known_by_its_content(key):
    keys = [key("two.py", "b = 1"), key("two.py", "b = 2"), key("active/one.py", "a = 3")]
    assert len(set(keys)) == 3
    assert key("other.py", "c = 1") == keys[2]


def test_comments_and_docstrings_do_not_count(key):
    first = key("two.py", 'def f():\n    """Two."""\n    return """a # b"""\n')
    assert key("two.py", '"""More."""\n\n# Why.\ndef f():\n    return """a # b"""\n') == first
    assert key("two.py", 'def f():\n    """Two."""\n    return """a # c"""\n') != first
    assert key("two.py", 'def f():\n    """Two."""\n    x = 1\n    return """a # b"""\n') != first


@pytest.mark.slow
def test_nothing_of_this_package_but_comments_and_docstrings_is_left_out():
    for path in (APP / "osln").rglob("*.py"):
        source = path.read_text()
        lines, begins = source.splitlines(), True
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            first, last = token.start[0] - 1, token.end[0]
            if token.type == tokenize.COMMENT and lines[first].lstrip().startswith("#"):
                lines[first] = ""
            elif token.type == tokenize.STRING and begins:
                lines[first:last] = [""] * (last - first)
            if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
                begins = True
            elif token.type not in (tokenize.NL, tokenize.COMMENT):
                begins = False
        assert bare(source) == "\n".join(line for line in lines if line.strip()), path


# Modules that cannot change what is kept under a key, whatever imports them, and why.
ELSEWHERE = {
    # Where and when something is made, and how files are read and written.
    "files",
    "jobs",
    # The patients: their makers have numbers of their own (`GENERATOR_VERSION`, `column_file.FORMAT`).
    "cohorts",
    "imaging/column_file.py",
    "imaging/labelmaps.py",
    "phantom",
    "simulation/cohorts.py",
    # Rows, networks and sizes: the values of those that are asked are in the keys.
    "rows/detectors.py",
    "rows/experiments.py",
    "rows/presets.py",
    # Weights are known by how they were trained or by their sum; devices agree but for rounding.
    "weights",
    # The keys themselves.
    "reproduction/code.py",
    "simulation/code.py",
}
# A training is kept when its code changes, and what a trained network makes goes by the training.
LEARNS = ("regression", "sampling", "training", "validation")
STAGE_ONE, STAGE_TWO = ({f"stage_{one}/{of}.py" for of in LEARNS} for one in ("one", "two"))
TRAINING = {"learning", "networks", *STAGE_ONE, *STAGE_TWO}
# `reproduction.stage_one` trains, makes maps and counts, `reproduction.stage_two` finds, tags and scores.
COUNTS, SCORES = set(reproduction.COUNTS), set(reproduction.SCORES)
NAMED = {
    "maps": (reproduction.MAPS, TRAINING | COUNTS),
    "counts": (reproduction.COUNTS, TRAINING),
    "candidates": (reproduction.CANDIDATES, TRAINING | SCORES),
    "tags": (reproduction.TAGS, TRAINING | SCORES),
    "scores": (reproduction.SCORES, TRAINING),
    "findings": (reproduction.FINDINGS, TRAINING),
    "network": (reproduction.TRAINED["network"], COUNTS),
    "classifier": (reproduction.TRAINED["classifier"], STAGE_ONE),
    "detector": (reproduction.TRAINED["detector"], set()),
    "simulated candidates": (simulation.CANDIDATES, TRAINING | SCORES),
    "simulated run": (simulation.RUN, STAGE_ONE | SCORES),
    # A simulation has no store, whose cases `retraining.matched_points` reads.
    "simulated run of both": (simulation.RUN_OF_BOTH, {"store"} | SCORES),
    "simulated training": (simulation.TRAINING, COUNTS),
}


@pytest.mark.parametrize("name", NAMED)
def test_all_that_a_kept_file_depends_on_is_in_its_key(name):
    parts, besides = NAMED[name]
    assert imported_by(parts, ELSEWHERE | besides) == set()
    assert "rows/constants.py" in parts


def test_all_that_detection_imports_is_code_that_its_results_are_known_by():
    # What trains, what makes patients, and the jobs of researchers.
    assert imported_by(CODE, {"cohorts", "jobs", "learning"}) == set()


def test_the_code_that_files_depend_on_is_there():
    for module in (reproduction, simulation):
        named = [value for value in vars(module).values() if isinstance(value, tuple)]
        for part in {one for value in (*named, *reproduction.TRAINED.values(), CODE) for one in value}:
            path = APP / "osln" / part
            assert path.is_file() or list(path.glob("*.py")), part
