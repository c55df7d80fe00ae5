"""Whose request is being answered, known to everything that is called for it."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from osln.accounts.users import Account

asking: ContextVar[Account | None] = ContextVar("asking", default=None)


def who() -> Account | None:
    """The account whose request is being answered; None without accounts, and outside of requests."""
    return asking.get()


def author(told: Mapping[str, Any]) -> str:
    """Whose work something is: the account; without accounts what the client says, "unknown" if nothing.

    Args:
        told: Of the request; `annotator`, `client_id` or `user` is a name.
    """
    if account := who():
        return account.name
    return str(told.get("annotator") or told.get("client_id") or told.get("user") or "unknown")[:128]
