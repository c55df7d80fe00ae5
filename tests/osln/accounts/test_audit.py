"""The audit log is only ever added to, and what is done stays done where it cannot be written."""

import json

from osln.accounts.audit import AuditLog


def test_each_line_is_added_whole(tmp_path):
    log = AuditLog(tmp_path / "audit.log")
    log.add("Anna", "PUT /datastore/label", "127.0.0.1", 200)
    log.add("", "POST /login\nforged", "127.0.0.1", 401)
    first, second = map(json.loads, (tmp_path / "audit.log").read_text().splitlines())
    assert (first["who"], first["status"]) == ("Anna", 200) and second["what"] == "POST /login\nforged"
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_a_line_that_cannot_be_written_goes_to_the_servers_log(tmp_path, caplog):
    AuditLog(tmp_path / "gone" / "audit.log").add("Anna", "PUT /datastore/label", "127.0.0.1", 200)
    assert "audit log cannot be written" in caplog.text and "PUT /datastore/label" in caplog.text
    AuditLog(None).add("Anna", "PUT /datastore/label", "127.0.0.1", 200)
