"""JSON that comes from outside: what this server could not write again is not taken in."""

import json
import math
from typing import Any

DEEPEST = 20
"""Objects and lists inside each other."""
LONGEST = 4 * 2**20
"""Bytes of a text. A prediction with a thousand candidates has a quarter of it."""


def read_json(text: str | bytes, what: str, longest: int = LONGEST) -> Any:
    """The value of a text.

    Args:
        text: UTF-8 if it is bytes.
        what: Begins the sentence of a refusal, for instance "params".
        longest: Bytes that are taken.

    Raises:
        ValueError: If it is no JSON, or JSON that `check_json` refuses.
    """
    if len(text) > longest:
        raise ValueError(f"{what} has {len(text)} bytes of JSON, at most {longest} are taken")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{what} is nested more than {DEEPEST} deep") from error
    except ValueError as error:
        raise ValueError(f"{what} must be JSON in UTF-8, and it is not: {error}") from error
    return check_json(value, what)


def check_json(value: Any, what: str, deepest: int = DEEPEST) -> Any:
    """The value itself if it can be written as JSON and read again by whoever gets it.

    Raises:
        ValueError: If it holds NaN, infinity, a number of more than 64 bits, half a character (a lone
            surrogate), or is nested too deep.
    """
    if deepest < 0:
        raise ValueError(f"{what} is nested more than {DEEPEST} deep")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{what} holds half a character (a lone surrogate)") from error
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{what} holds {value}, which is no number of JSON")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError(f"{what} holds a whole number of more than 64 bits")
    elif isinstance(value, dict):
        for key, item in value.items():
            check_json(str(key), what)
            check_json(item, what, deepest - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            check_json(item, what, deepest - 1)
    return value
