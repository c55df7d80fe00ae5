"""Code is known by what it does: neither by its comments nor by where it lies."""

import io
import tokenize

import pytest

from osln.files import code
from osln.files.code import bare, code_key
from osln.output.writing import CODE
from osln.reproduction import code as reproduction
from osln.simulation import code as simulation
from small.imports import APP, loaded_after


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


@pytest.mark.slow
def test_all_that_detection_loads_is_code_that_its_results_are_known_by():
    loaded = loaded_after("import osln.output.running, osln.output.dicom_cases, osln.pictures")
    ours = {name.split(".")[1] for name in loaded if name.startswith("osln.")}
    # What trains, and the one word of the cohorts that the tagger's trainings read.
    assert ours - {part.removesuffix(".py") for part in CODE} <= {"learning", "cohorts"}


def test_the_code_that_files_depend_on_is_there():
    for module in (reproduction, simulation):
        named = [value for value in vars(module).values() if isinstance(value, tuple)]
        for part in {one for value in (*named, *reproduction.TRAINED.values(), CODE) for one in value}:
            path = APP / "osln" / part
            assert path.is_file() or list(path.glob("*.py")), part
