"""Whose request is being answered, known to everything that is called for it."""

from contextvars import ContextVar

from osln.accounts.users import Account

asking: ContextVar[Account | None] = ContextVar("asking", default=None)


def who() -> Account | None:
    """The account whose request is being answered; None without accounts, and outside of requests."""
    return asking.get()
