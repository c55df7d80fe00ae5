"""What all commands share: help without delay, one kind of refusal, and a package without a checkout."""

import io
import os
import shutil
import subprocess
import sys

import pytest

import osln.__main__ as program
from osln import __version__
from osln.__main__ import COMMANDS, main
from osln.cli import doctor, train
from small.imports import APP, loaded_after

ROOT = APP.parents[1]
HEAVY = {"torch", "numpy", "monai", "scipy", "SimpleITK", "nibabel", "pydicom", "matplotlib", "openvino"}


def load_by(*arguments: str) -> set[str]:
    """What a command loads; how it ends does not matter."""
    code = (
        "import contextlib, io, osln.__main__ as m\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    m.main({list(arguments)!r})\n"
    )
    return loaded_after(f"exec({code!r})")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_help_loads_nothing_that_takes_time(name):
    loaded = load_by(name, "--help")
    assert f"osln.cli.{'import_' if name == 'import' else name.replace('-', '_')}" in loaded
    assert not loaded & HEAVY


def test_the_list_of_weights_loads_no_network():
    loaded = load_by("models")
    assert "osln.weights.model_store" in loaded and not loaded & HEAVY


def test_version_and_help_are_told(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith(f"OSLN Label {__version__}")
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert all(f"    {name}" in listed for name in COMMANDS)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ValueError("give another"), 1, "give another\n"),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), 1, "x.csv: No such file or directory\n"),
        (KeyError("ct"), 1, "KeyError: 'ct' (--debug shows where it comes from)\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(monkeypatch, capsys, error, status, words):
    def fail(_):
        raise error

    monkeypatch.setattr(doctor, "run", fail)
    assert main(["doctor"]) == status
    assert capsys.readouterr().err == words
    main(["doctor", "--debug"])
    assert ("Traceback" in capsys.readouterr().err) == (status == 1)


def test_unknown_commands_and_options_are_refused_with_the_way_to_the_help(capsys):
    assert main(["nothing"]) == 1
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
    assert main(["detec"]) == 1
    assert "invalid choice: 'detec', perhaps detect? (choose from detect, import," in capsys.readouterr().err
    assert main(["train", "--store", ".", "--model", "osln-set-glnet"]) == 1
    assert "'osln-set-glnet', perhaps set-glnet?" in capsys.readouterr().err
    assert main(["models", "--nothing"]) == 1
    assert "--nothing; see ./scripts/osln --help" in capsys.readouterr().err


@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="no environment here: ./scripts/serve makes it")
def test_modules_of_the_working_folder_are_not_the_program_s(tmp_path):
    (tmp_path / "osln").mkdir()
    (tmp_path / "random.py").write_text("raise SystemExit('random.py of the working folder')")
    command = [str(ROOT / "scripts" / "osln"), "models", "--models", str(tmp_path)]
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=known)
    assert done.returncode == 0 and done.stdout.startswith("Model store"), done.stderr


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m osln models --json | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env=own_path(APP))
    assert done.stderr == ""


def own_path(folder) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture
def installed(tmp_path):
    """The package alone, as `pip install ./apps/osln` lays it down; runs a command of it."""
    shutil.copytree(APP / "osln", tmp_path / "site" / "osln", ignore=shutil.ignore_patterns("__pycache__"))

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "osln", *arguments]
        variables = own_path(tmp_path / "site")
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=variables,
        )

    return run


def test_the_package_alone_asks_for_what_the_checkout_would_have(installed):
    for command, words in (
        (["models"], "arguments are required: --models; see osln models --help"),
        (["draw", "phantom-01"], "arguments are required: --store, --models; see osln draw --help"),
        (["train-tagger", "--phantoms", "1", "--ship", "--work", "w"], "give --out FILE"),
        (["serve"], "starts from a checkout"),
    ):
        done = installed(*command)
        assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr
    assert installed("--version").stdout == f"OSLN Label {__version__}\n"
    listed = installed("models", "--models", str(APP / "model"), "list", "ct")
    assert "* shipped" in listed.stdout, listed.stderr


def test_progress_and_words_are_apart(capsys):
    """What a machine reads comes alone on the standard output."""
    assert main(["models", "--json"]) == 0
    assert io.StringIO(capsys.readouterr().out).readline() == "{\n"
    assert program.refusal(OSError("disk")) == "disk"


def test_whoever_interrupts_a_long_command_is_told_that_it_goes_on(monkeypatch, capsys, tmp_path):
    def fail(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run", fail)
    assert main(["train", "--store", str(tmp_path), "--model", "ct"]) == 130
    assert capsys.readouterr().err == "\ninterrupted: the same command goes on from what is kept\n"


def test_a_model_store_or_gpu_that_is_not_there_is_named(monkeypatch, capsys, tmp_path):
    assert main(["models", "--models", str(tmp_path / "nothing")]) == 1
    assert f"there is no folder {tmp_path / 'nothing'}" in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    given = ["train", "--store", str(tmp_path), "--model", "ct", "--device", "cuda"]
    assert main(given) == 1
    assert "--device cuda: PyTorch finds no GPU here" in capsys.readouterr().err
