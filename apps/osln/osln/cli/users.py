"""Accounts of a server: who may annotate, review or administrate.

A password is asked for twice, or read from standard input where that is no terminal. The server is told the
file with ./scripts/serve --users FILE.
"""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_json, command, tell

if TYPE_CHECKING:
    from osln.accounts.users import UsersFile

ACTIONS = ("list", "add", "password", "role", "remove")
ROLES = ("annotator", "reviewer", "admin")
EXAMPLES = ('add "Anna Nadel" --role annotator', "list", 'remove "Anna Nadel"')


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "users", __doc__, *EXAMPLES)
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="of the account; it stands as author of labels"
    )
    parser.add_argument(
        "--role", choices=ROLES, help="what it may do: each role may do what those before may"
    )
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    default = config / "osln-label" / "users.json"
    parser.add_argument("--users", type=Path, default=default, help="file of accounts (%(default)s)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show or change the accounts."""
    from osln.accounts.users import UsersFile

    users, name = UsersFile(options.users), options.name
    if options.action == "list":
        accounts = list(users.accounts().values())
        lines = [f"{account.name}: {account.role}" for account in accounts] or [f"no account in {users.path}"]
        tell(options, "\n".join(lines) + "\n", [{"name": one.name, "role": one.role} for one in accounts])
        return 0
    if not name:
        raise ValueError(f"say whose account: users {options.action} NAME")
    if options.action in ("add", "role") and options.role is None:
        raise ValueError(f"say what {name} may do: --role {', --role '.join(ROLES)}")
    sys.stdout.write(f"{name}: {change(users, options.action, name, options.role)} in {users.path}\n")
    return 0


def change(users: "UsersFile", action: str, name: str, role: str) -> str:
    """Does it, and says it in a word or two."""
    if action == "add":
        users.add(name, role, new_password())
        return f"added as {role}"
    if action == "password":
        users.set_password(name, new_password())
        return "has a new password"
    if action == "role":
        users.set_role(name, role)
        return f"is {role} now"
    users.remove(name)
    return "removed"


def new_password() -> str:
    """Asked for twice on a terminal, else the first line of standard input.

    Raises:
        ValueError: The two differ.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise ValueError("the two passwords differ; try again")
    return password
