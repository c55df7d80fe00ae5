"""Who is logged in: tokens that only this process knows, handed out for a password and forgotten in time."""

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from osln.accounts.users import Account, UsersFile

COOKIE = "osln-session"
"""Begins the name of the cookie, behind which each server has a mark of its own: browsers keep one set of
cookies for all ports of a host."""
LASTS_S = 12 * 3600
FREE_TRIES = 5
LONGEST_WAIT_S = 300.0
MOST_DOUBLED = 20
"""Above it the wait is the longest anyway, and far above it a float has no room for the power."""
MOST_NAMES = 10_000
LONGEST_NAME = 64
"""Characters of a name that is counted; no account has a longer one."""


class TooManyTriesError(ValueError):
    """Somebody tries passwords; `wait_s` says how long nothing is checked."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(f"too many wrong passwords: wait {wait_s:.0f} s")


@dataclass
class _Tries:
    count: int = 0
    not_before: float = 0.0


class Logins:
    """Tokens of the people who are logged in.

    Args:
        users: The accounts; asked again with each request, so that a removed one is out at once.

    Attributes:
        cookie: Name of the cookie that holds a token in browsers.
    """

    def __init__(self, users: UsersFile) -> None:
        self.users = users
        self.cookie = f"{COOKIE}-{secrets.token_hex(4)}"
        self._tokens: dict[bytes, tuple[Account, float]] = {}
        self._tries: dict[str, _Tries] = {}
        self._lock = threading.Lock()

    def log_in(self, name: str, password: str, address: str) -> str | None:
        """A new token, or None if name and password do not fit.

        After `FREE_TRIES` wrong passwords for a name or from an address the next ones have to wait, twice as
        long each time. A try counts before its password is looked at: those sent side by side wait, too.

        Raises:
            TooManyTriesError: It is too early for the next try.
        """
        keys = (f"name {name[:LONGEST_NAME]}", f"from {address}")
        with self._lock:
            wait = max(self._tries.get(key, _Tries()).not_before for key in keys) - time.monotonic()
            if wait > 0:
                raise TooManyTriesError(wait)
            for key in keys:
                self._count(key)
        account = self.users.verified(name, password)
        if account is None:
            return None
        with self._lock:
            for key in keys:
                self._tries.pop(key, None)
            token = secrets.token_urlsafe(32)
            now = time.monotonic()
            self._tokens = {one: entry for one, entry in self._tokens.items() if entry[1] > now}
            self._tokens[_digest(token)] = (account, now + LASTS_S)
            return token

    def log_out(self, headers: Mapping[str, str]) -> None:
        """Forgets the token that a request carries."""
        if token := self._token(headers):
            with self._lock:
                self._tokens.pop(_digest(token), None)

    def account(self, headers: Mapping[str, str]) -> Account | None:
        """The account that a request shows by its bearer token or cookie; None if it shows none that holds.

        A token ends with the password that it was given for, and with its account, also if another one of
        the same name follows.

        Args:
            headers: By name in small letters.
        """
        token = self._token(headers)
        if token is None:
            return None
        with self._lock:
            then, until = self._tokens.get(_digest(token), (None, 0.0))
        if then is None or until <= time.monotonic():
            return None
        now = self.users.accounts().get(then.name)
        return now if now is not None and now.hash == then.hash else None

    def _token(self, headers: Mapping[str, str]) -> str | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and token:
            return token.strip()
        # By hand: the standard library drops all cookies for one that another program of this host wrote.
        cookies = (one.partition("=") for one in headers.get("cookie", "").split(";"))
        return next((value.strip() for name, _, value in cookies if name.strip() == self.cookie), None)

    def _count(self, key: str) -> None:
        if key not in self._tries and len(self._tries) >= MOST_NAMES:
            # Whoever invents names must not have the others' waits forgotten.
            del self._tries[min(self._tries, key=lambda one: self._tries[one].not_before)]
        tries = self._tries.setdefault(key, _Tries())
        tries.count += 1
        if tries.count >= FREE_TRIES:
            wait = min(2.0 ** min(tries.count - FREE_TRIES, MOST_DOUBLED), LONGEST_WAIT_S)
            tries.not_before = time.monotonic() + wait


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
