"""The file of accounts: read at each login, so that a removed account is out at once.

It lies outside the store, so that a copy of the cases holds no password hash, and only its owner may read it.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from filelock import FileLock

from osln.files.whole import write_atomically

ROLES = ("annotator", "reviewer", "admin")
"""Each may do what those before it may."""
NAME = re.compile(r"[^\W_][\w.@ -]{0,63}")
SHORTEST_PASSWORD = 10
MODE = 0o600
_hasher = PasswordHasher()
_NOBODY = _hasher.hash("a password that no account has")
"""Checked for unknown names, so that the answer to them takes as long."""


@dataclass(frozen=True)
class Account:
    """One person.

    Attributes:
        name: As it stands as author of labels.
        role: Of `ROLES`.
        hash: Of the password (Argon2id, with its salt and cost).
    """

    name: str
    role: str
    hash: str


class UsersFile:
    """Accounts by name.

    Args:
        path: Of the file; it need not exist before the first account is added.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def accounts(self) -> dict[str, Account]:
        """All accounts; none if there is no file.

        Raises:
            ValueError: If others than its owner may read the file, the server may not, or it is damaged.
        """
        try:
            mode = self.path.stat().st_mode
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ValueError(
                f"{self.path} cannot be read ({error.strerror}): give it to the user that runs the server"
            ) from error
        if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
            raise ValueError(f"others may read {self.path}, which holds password hashes: chmod 600 it")
        try:
            told = json.loads(content.decode("utf-8"))
            return {name: Account(name, entry["role"], entry["hash"]) for name, entry in told.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{self.path} is no file of accounts; make it anew with osln users add"
            ) from error

    def add(self, name: str, role: str, password: str) -> None:
        """Adds an account.

        Raises:
            ValueError: If the name is taken or not fit to be an author's, or the password is too short.
        """
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be a name: expected up to 64 letters, digits, blanks, '.', '@', '_' or '-'"
            )
        if role not in ROLES:
            raise ValueError(f"{role!r} is no role; expected {', '.join(ROLES)}")
        with self._changing() as accounts:
            if name in accounts:
                raise ValueError(
                    f"{name!r} has an account already: ./scripts/osln users password {name} changes its "
                    "password"
                )
            accounts[name] = Account(name, role, hashed(password))

    def set_password(self, name: str, password: str) -> None:
        """Replaces a password; errors as `add`."""
        with self._changing() as accounts:
            accounts[name] = replace(self._known(accounts, name), hash=hashed(password))

    def set_role(self, name: str, role: str) -> None:
        """Replaces a role; errors as `add`."""
        if role not in ROLES:
            raise ValueError(f"{role!r} is no role; expected {', '.join(ROLES)}")
        with self._changing() as accounts:
            accounts[name] = replace(self._known(accounts, name), role=role)

    def remove(self, name: str) -> None:
        """Takes an account away.

        Raises:
            ValueError: If there is none of that name.
        """
        with self._changing() as accounts:
            del accounts[self._known(accounts, name).name]

    def verified(self, name: str, password: str) -> Account | None:
        """The account if the password is its own, else None; takes as long either way."""
        account = self.accounts().get(name)
        try:
            _hasher.verify(account.hash if account else _NOBODY, password)
        except (VerificationError, InvalidHashError):
            return None
        return account

    def _changing(self) -> "_Change":
        return _Change(self)

    @staticmethod
    def _known(accounts: Mapping[str, Account], name: str) -> Account:
        if name not in accounts:
            raise ValueError(f"there is no account {name!r}; there are: {', '.join(accounts) or 'none'}")
        return accounts[name]


class _Change:
    """The accounts inside a lock; written when nothing was raised."""

    def __init__(self, file: UsersFile) -> None:
        self._file = file
        file.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(str(file.path.with_name(f".{file.path.name}.lock")))

    def __enter__(self) -> dict[str, Account]:
        self._lock.acquire()
        try:
            self._accounts = self._file.accounts()
        except BaseException:
            self._lock.release()
            raise
        return self._accounts

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                entries = {
                    name: {key: value for key, value in asdict(account).items() if key != "name"}
                    for name, account in self._accounts.items()
                }
                text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
                write_atomically(self._file.path, text.encode(), mode=MODE)
        finally:
            self._lock.release()


def hashed(password: str) -> str:
    """Argon2id hash of a password.

    Raises:
        ValueError: If the password is too short.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise ValueError(
            f"the password has {len(password)} characters; at least {SHORTEST_PASSWORD} are needed"
        )
    return _hasher.hash(password)
