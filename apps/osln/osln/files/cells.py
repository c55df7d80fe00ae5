"""Words of others as cells of a CSV file."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that spreadsheets compute instead of showing it."""


def cell(text: str) -> str:
    """A name as a cell that no spreadsheet takes for a formula: with an apostrophe before it, if need be.

    Not for numbers, which may begin with a minus.
    """
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
