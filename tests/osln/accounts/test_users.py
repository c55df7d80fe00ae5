import json
import stat

import pytest

from osln.accounts.audit import AuditLog
from osln.accounts.users import UsersFile

PASSWORD = "correct horse battery"


@pytest.fixture
def users(tmp_path) -> UsersFile:
    file = UsersFile(tmp_path / "conf" / "users.json")
    file.add("Anna Nadel", "annotator", PASSWORD)
    return file


def test_a_password_opens_its_own_account_alone(users):
    users.add("Bo", "admin", "another password")

    assert users.verified("Anna Nadel", PASSWORD).role == "annotator"
    assert users.verified("Bo", PASSWORD) is None
    assert users.verified("Anna Nadel", PASSWORD + " ") is None
    assert users.verified("nobody", PASSWORD) is None


def test_the_file_is_its_owners_and_holds_no_password(users):
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    text = users.path.read_text()
    assert PASSWORD not in text and "$argon2id$" in json.loads(text)["Anna Nadel"]["hash"]


def test_a_file_that_others_may_read_is_refused(users):
    users.path.chmod(0o640)
    with pytest.raises(ValueError, match=r"others may read .*chmod 600"):
        users.verified("Anna Nadel", PASSWORD)


def test_removed_and_changed_accounts_are_so_at_once(users):
    users.set_password("Anna Nadel", "a new password")
    assert users.verified("Anna Nadel", PASSWORD) is None
    users.set_role("Anna Nadel", "reviewer")
    assert users.verified("Anna Nadel", "a new password").role == "reviewer"
    users.remove("Anna Nadel")
    assert users.verified("Anna Nadel", "a new password") is None


@pytest.mark.parametrize(
    ("name", "role", "password", "words"),
    [
        ("Anna Nadel", "admin", PASSWORD, "has an account already"),
        ("", "admin", PASSWORD, "cannot be a name"),
        ("a\nb", "admin", PASSWORD, "cannot be a name"),
        ("-x", "admin", PASSWORD, "cannot be a name"),
        ("Bo", "owner", PASSWORD, "expected annotator, reviewer, admin"),
        ("Bo", "admin", "short", "5 characters; at least 10"),
    ],
)
def test_what_cannot_be_an_account_is_refused(users, name, role, password, words):
    before = users.path.read_bytes()
    with pytest.raises(ValueError, match=words):
        users.add(name, role, password)
    assert users.path.read_bytes() == before


def test_unknown_names_and_damaged_files_are_told(users):
    with pytest.raises(ValueError, match="no account 'Bo'; there are: Anna Nadel"):
        users.remove("Bo")
    users.path.write_text("[1]")
    with pytest.raises(ValueError, match="is no file of accounts"):
        users.accounts()


def test_the_audit_log_grows_by_whole_lines(tmp_path):
    log = AuditLog(tmp_path / "audit.log")
    log.add("Anna Nadel", "PUT /datastore/label", "127.0.0.1", 200)
    log.add("", "POST /auth/token", "10.0.0.9", 401)

    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(line["who"], line["what"], line["from"], line["status"]) for line in lines] == [
        ("Anna Nadel", "PUT /datastore/label", "127.0.0.1", 200),
        ("", "POST /auth/token", "10.0.0.9", 401),
    ]
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600
