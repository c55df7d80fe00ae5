"""Who may ask this server, from its settings; puts the door in place."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from monailabel.config import settings

from lib.web.door import LOOPBACK_NAMES, Door, House
from lib.web.login_routes import routes
from lib.web.logins import Logins
from osln.accounts.audit import AuditLog
from osln.accounts.users import UsersFile

ANY_ADDRESS = ("", "0.0.0.0", "::")


@dataclass(frozen=True)
class Access:
    """Settings of who may ask.

    Attributes:
        users: File of accounts; None: there are none.
        public_names: Host names besides those of this computer.
        open_to_all: Answer other computers without accounts.
    """

    users: Path | None = None
    public_names: tuple[str, ...] = ()
    open_to_all: bool = False


def house_of(access: Access, studies: Path | None, argv: Sequence[str] | None = None) -> House:
    """The rules of the door.

    Args:
        access: Settings.
        studies: Folder of the store; None for a PACS.
        argv: Command line of the server, which names the address that it listens on.

    Raises:
        ValueError: If addresses shall have a prefix, or the file of accounts lies in the store, cannot be
            believed, or holds none.
    """
    argv = sys.argv if argv is None else argv
    if settings.MONAI_LABEL_API_STR or _said(argv, "--root_path", "--root-path"):
        # Roles, limits and the pages go by the paths as they are.
        raise ValueError(
            "MONAI_LABEL_API_STR and --root_path put a prefix before all addresses, which cannot be here: "
            "leave both away, and give it a name of its own behind a proxy (--public-name NAME)"
        )
    asked = (_said(argv, "--host", "-i"), *access.public_names)
    named = dict.fromkeys((*LOOPBACK_NAMES, *(name.lower() for name in asked if name not in ANY_ADDRESS)))
    if access.users is None:
        return House(tuple(named), open_to_all=access.open_to_all)
    users = UsersFile(access.users)
    if studies is not None and users.path.resolve().is_relative_to(studies.resolve()):
        raise ValueError(
            f"the file of accounts {users.path} lies in the store; put it elsewhere: copies of cases travel"
        )
    if not users.accounts():
        raise ValueError(
            f"there is no account in {users.path}: ./scripts/osln users add NAME --role admin --users "
            f"{users.path}"
        )
    audit = AuditLog(users.path.with_name(f"{users.path.stem}-audit.log"))
    return House(tuple(named), Logins(users), audit)


def install(app: FastAPI, house: House) -> None:
    """Puts the door in front of the server and the routes of the login behind it; a second call does nothing.

    Args:
        app: `monailabel.app.app`.
        house: The rules.
    """
    if getattr(app.state, "osln_door", False):
        return
    before = len(app.router.routes)
    app.include_router(routes(house.logins))
    added = app.router.routes[before:]
    del app.router.routes[before:]
    app.router.routes[0:0] = added
    # MONAI Label lets pages of any origin ask with the browser's credentials.
    app.user_middleware = [one for one in app.user_middleware if one.cls is not CORSMiddleware]
    app.middleware_stack = Door(app.build_middleware_stack(), house)
    app.state.osln_door = True


def _said(argv: Sequence[str], *options: str) -> str:
    """What a command line says for an option, "" if nothing; names may be cut short, as argparse has it."""
    for argument, following in pairwise([*argv, ""]):
        name, equals, value = argument.partition("=")
        cut_short = name.startswith("--") and len(name) > 2
        if any(name == option or (cut_short and option.startswith(name)) for option in options):
            return value if equals else following
    return ""
