"""Waits until the server answers and then says what to open and what to do next.

Runs beside the server, so that the words come after the start-up log and not before it. Standard library
only.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import time
import urllib.request

PATIENCE_S = 300


def fetch(url: str) -> dict | None:
    """The JSON object at an address of this computer, or None as long as nothing answers."""
    # A certificate for the server's public name does not fit the address of this computer.
    trusting = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusting)
    try:
        with opener.open(url, timeout=30) as reply:
            return json.load(reply)
    except (OSError, ValueError):
        return None


def is_alive(pid: int) -> bool:
    """Whether the server's process still runs."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def words(address: str, info: dict, store: dict) -> str:
    """What to open and what to do next.

    Args:
        address: where the server listens, for instance "http://127.0.0.1:8000".
        info: reply of `/info/`.
        store: reply of `/datastore/`, the store's statistics.

    Returns:
        Lines for the terminal, with the exact commands.
    """
    models = ", ".join(info.get("models") or {})
    first = next(iter(info.get("models") or {}), "osln")
    total = store.get("total", 0)
    return f"""
----------------------------------------------------------------------------------------------------
{info.get("name", "OSLN Label")} is up on {address} with {total} case{"" if total == 1 else "s"}.
Models: {models}

OHIF      {address}/ohif/  list of the cases; open one in the mode 'Lymph nodes'
Slicer    Install the extension MONAILabel, open the module MONAILabel, enter {address}
          as server, press the refresh button, then "Next Sample" and "Run" under Auto Segmentation.
Browser   {address}/      cases, models and where the weights come from
          {address}/docs  all endpoints, to be tried by hand
Python    from monailabel.client import MONAILabelClient
          client = MONAILabelClient("{address}")
          case = client.next_sample("first", {{}})["id"]
          label, result = client.infer("{first}", case, {{}})

Not a medical device. Ctrl-C ends the server.
----------------------------------------------------------------------------------------------------
"""


def with_login(address: str) -> str:
    """What to open on a server with accounts, which tells a stranger nothing else."""
    return f"""
----------------------------------------------------------------------------------------------------
OSLN Label is up on {address}; everybody has to log in.

Slicer    Install the extension MONAILabel, open the module MONAILabel, enter {address}
          as server and press the refresh button: it asks for name and password.
Browser   {address}/       asks for name and password, too
Accounts  ./scripts/osln users add NAME --role annotator --users FILE

Not a medical device. Ctrl-C ends the server.
----------------------------------------------------------------------------------------------------
"""


def main() -> int:
    """Wait for the server and greet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="of the server")
    parser.add_argument("pid", type=int, help="of its process: when that ends, nothing is waited for")
    options = parser.parse_args()
    address, pid = options.address, options.pid
    # The process that started this one becomes the server and never waits for children: leave it at once.
    if os.name != "nt" and os.fork():
        return 0
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and is_alive(pid):
        login = fetch(f"{address}/auth/")
        if login is not None and login.get("enabled"):
            sys.stdout.write(with_login(address))
            return 0
        info = fetch(f"{address}/info/") if login is not None else None
        if info is not None:
            sys.stdout.write(words(address, info, fetch(f"{address}/datastore/") or {}))
            return 0
        time.sleep(0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
