"""Every command that a document, a message or a help text prints is one that there is."""

import ast
import re
import shlex

import pytest

import demo_pacs
import start_server
from osln.__main__ import COMMANDS, command_line
from small.commands import ROOT, beginnings, in_documents, in_sources, literals

PRINTED = sorted({*in_documents(), *in_sources()})


def parses(words: list[str]) -> bool:
    """Whether the program takes the words; a command that is only named needs no options."""
    program, *given = ["ct" if word == "NAME" else re.sub(r"\$\w+", "1", word) for word in words]
    try:
        if program == "./scripts/osln":
            if len(given) < 2 and set(given) <= {*COMMANDS, "COMMAND"}:
                return True
            command_line().parse_args(given)
        elif program == "./scripts/serve":
            return start_server.parse(given)[1] == []
        elif program == "./scripts/demo-pacs":
            demo_pacs.command_line().parse_args(given)
        elif program == "./benchmarks/run":
            return is_measurement(given)
        else:
            return program == "./scripts/test"
    except ValueError:
        return False
    except SystemExit as end:
        return not end.code
    return True


def is_measurement(given: list[str]) -> bool:
    """Whether there is the measurement with these options; by its text, since each loads for seconds."""
    if given == ["ct"]:
        return True  # what is written for any measurement names none
    path = ROOT / "benchmarks" / f"{given[0]}.py" if given else ROOT
    if not path.is_file():
        return False
    known = {*literals(path.read_text()), "--help"}
    if "experiment_parser" in path.read_text():
        known |= set(literals(path.with_name("experiment.py").read_text()))
    return {word for word in given if word.startswith("--")} <= known


def test_commands_are_printed_in_documents_and_in_messages():
    places = {place for place, _ in PRINTED}
    assert {
        "README.md",
        "install.md",
        "phantom.md",
        "model_store.py",
        "verdict.py",
        "planted.py",
    } <= places


@pytest.mark.parametrize(("place", "command"), PRINTED)
def test_a_printed_command_is_one_that_there_is(place, command, capsys):
    assert any(parses(words) for words in beginnings(command)), f"{place}: {command}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_parse(name, capsys):
    if name == "serve":
        pytest.skip("the help is that of ./scripts/serve")
    with pytest.raises(SystemExit):
        command_line().parse_args([name, "--help"])
    examples = capsys.readouterr().out.partition("for example:\n")[2].splitlines()
    assert examples
    for example in examples:
        program, *given = shlex.split(example)
        assert program == "./scripts/osln" and given[0] == name
        assert command_line().parse_args(given).command == name


def test_what_is_not_there_would_be_found(capsys):
    assert not parses(["./scripts/osln", "models", "undo", "ct"])
    assert not parses(["./scripts/osln", "draw", "phantom-02", "--output", "x.png"])
    assert not parses(["./benchmarks/run", "planted", "--nothing"])
    assert not parses(["./scripts/run_table"])
    text = 'f"run ./scripts/osln models rollback {network} or train again"'
    assert list(literals(text)) == ["run ./scripts/osln models rollback ct or train again"]


def test_one_option_has_one_meaning_in_all_commands():
    """The same word takes the same kind of value wherever it stands."""
    kinds: dict[str, set] = {}
    actions = command_line()._subparsers._group_actions
    for parser in actions[0].choices.values():
        for action in parser._actions:
            # A flag takes no value, nor does --help.
            if action.nargs != 0:
                for word in action.option_strings:
                    kinds.setdefault(word, set()).add(action.type)
    assert kinds["--out"] == kinds["-o"] and len(kinds["--out"]) == 1
    for word in ("--models", "--device", "--seed", "--preset", "--json", "--work", "--threads", "--judged"):
        assert len(kinds[word]) == 1, word
    assert not {"--output", "--studies", "--data", "--experiment"} & set(kinds)


def test_sources_that_are_not_commands_are_not_executable():
    for path in (ROOT / "scripts").rglob("*.py"):
        assert not path.stat().st_mode & 0o111, path
        if "__main__" in (source := path.read_text()):
            names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
            assert "ArgumentParser" in names, f"{path.name} has no --help"
