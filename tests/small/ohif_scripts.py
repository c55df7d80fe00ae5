"""The scripts of the mode (`lib/ohif`) run by Node.js, without a browser."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from lib.web.ohif_routes import SCRIPTS

SECONDS = 120


def run(names: str, script: str) -> Any:
    """What a script returns that knows some of the mode's files.

    Args:
        names: Files without their ending, separated by spaces, in the order of the page.
        script: Body of an async function; an error's message is returned in place of its value.
    """
    if shutil.which("node") is None:
        pytest.skip("Node.js is not on this computer")
    parts = [(SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in names.split()]
    say = "console.log(JSON.stringify"
    ending = f"value => {say}(value ?? null)), error => {say}(error.message)));"
    source = "\n".join([*parts, f"(async () => {{ {script} }})().then({ending}"])
    # A channel or a timer that a script leaves open would keep Node.js running.
    done = subprocess.run(
        ["node", "-"], input=source, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    return json.loads(done.stdout)
