import io
import json

import pytest

from osln.__main__ import main
from osln.accounts.users import UsersFile


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Runs the command on a file of its own; the password comes from standard input."""

    def run(*words: str, password: str = "correct horse battery") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        status = main(["users", *words, "--users", str(tmp_path / "users.json")])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    run.file = UsersFile(tmp_path / "users.json")
    return run


def test_an_account_is_added_listed_changed_and_removed(ask):
    assert ask("add", "Anna", "--role", "annotator")[0] == 0
    assert ask.file.verified("Anna", "correct horse battery").role == "annotator"
    assert ask("role", "Anna", "--role", "admin") == (0, f"Anna: is admin now in {ask.file.path}\n")
    assert ask("password", "Anna", password="another long one")[0] == 0
    assert ask.file.verified("Anna", "another long one").role == "admin"
    assert json.loads(ask("list", "--json")[1]) == [{"name": "Anna", "role": "admin"}]
    assert ask("remove", "Anna")[0] == 0
    assert ask("list") == (0, f"no account in {ask.file.path}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add",), "say whose account"),
        (("add", "Bo"), "say what Bo may do: --role annotator"),
        (("remove", "Bo"), "there is no account 'Bo'"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(ask, words, said):
    status, shown = ask(*words)
    assert status == 1 and said in shown and "Traceback" not in shown


def test_a_short_password_is_refused(ask):
    status, shown = ask("add", "Bo", "--role", "admin", password="short")
    assert status == 1 and "at least 10" in shown and not ask.file.path.exists()
