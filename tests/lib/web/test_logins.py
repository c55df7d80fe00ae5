"""Tokens and waits of the people who log in."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from lib.web import logins as module
from lib.web.logins import FREE_TRIES, LONGEST_WAIT_S, Logins, TooManyTriesError
from osln.accounts.users import UsersFile

PASSWORD = "correct horse battery"


@pytest.fixture
def logins(tmp_path, monkeypatch) -> Logins:
    """One account, and a clock that stands."""
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    users = UsersFile(tmp_path / "users.json")
    users.add("Anna", "annotator", PASSWORD)
    return Logins(users)


def shown(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def waiting(logins: Logins, name: str, address: str) -> float:
    with pytest.raises(TooManyTriesError) as refused:
        logins.log_in(name, "wrong", address)
    return refused.value.wait_s


def test_a_token_ends_with_the_password_that_it_was_given_for(logins):
    token = logins.log_in("Anna", PASSWORD, "one")
    assert logins.account(shown(token)).name == "Anna"
    logins.users.set_password("Anna", "another horse battery")
    assert logins.account(shown(token)) is None


def test_a_token_is_not_inherited_by_a_later_account_of_the_same_name(logins):
    token = logins.log_in("Anna", PASSWORD, "one")
    logins.users.remove("Anna")
    logins.users.add("Anna", "admin", PASSWORD)
    assert logins.account(shown(token)) is None


def test_a_token_follows_the_role_of_its_account(logins):
    token = logins.log_in("Anna", PASSWORD, "one")
    logins.users.set_role("Anna", "admin")
    assert logins.account(shown(token)).role == "admin"


@pytest.mark.parametrize("other", ['p={"theme":"dark"}', "list=a, b", "path=/x", "x=J\xc3\xb6rg", "none", ""])
@pytest.mark.parametrize("order", [1, -1])
def test_cookies_of_other_programs_of_the_host_hide_no_login(logins, other, order):
    own = f"{logins.cookie}={logins.log_in('Anna', PASSWORD, 'one')}"
    headers = {"cookie": "; ".join([other, own][::order])}
    assert logins.account(headers).name == "Anna"
    logins.log_out(headers)
    assert logins.account(headers) is None and logins.account({"cookie": other}) is None


def test_two_servers_of_a_host_do_not_overwrite_each_others_cookie(logins):
    assert Logins(logins.users).cookie != logins.cookie


def test_passwords_sent_side_by_side_wait_as_those_sent_one_after_the_other(logins, monkeypatch):
    tries = FREE_TRIES + 4
    looked_at = []
    all_refused = threading.Event()

    def slow(name, password):
        looked_at.append(password)
        # Nobody is answered before everybody has asked.
        all_refused.wait(10)

    monkeypatch.setattr(logins.users, "verified", slow)
    refused = threading.Semaphore(0)

    def one(number):
        try:
            logins.log_in("Anna", str(number), str(number))
        except TooManyTriesError:
            refused.release()

    with ThreadPoolExecutor(tries) as pool:
        for number in range(tries):
            pool.submit(one, number)
        for _ in range(tries - FREE_TRIES):
            assert refused.acquire(timeout=10)
        all_refused.set()
    assert len(looked_at) == FREE_TRIES


def test_thousands_of_wrong_passwords_still_wait(logins):
    logins._tries["name Anna"] = module._Tries(count=5000)
    assert logins.log_in("Anna", "wrong", "one") is None
    assert waiting(logins, "Anna", "two") == LONGEST_WAIT_S


def test_invented_names_do_not_make_a_wait_forgotten(logins, monkeypatch):
    monkeypatch.setattr(module, "MOST_NAMES", 6)
    logins._tries["name Anna"] = module._Tries(count=50)
    assert logins.log_in("Anna", "wrong", "one") is None
    for number in range(8):
        assert logins.log_in(f"nobody {number}" * 100, "wrong", f"from {number}") is None
    assert waiting(logins, "Anna", "two") > 0
    assert len(logins._tries) == 6 and all(len(key) <= 70 for key in logins._tries)
