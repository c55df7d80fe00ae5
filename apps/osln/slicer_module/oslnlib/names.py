"""What the name of a segment says: the server's rule (`lib/store/segments.py`), to which a test holds it."""

import re

NODE, TUMOR = "lymph node", "tumor"
NUMBERED = r"(?:[ _#-]*\d+)?"
NAMES = {
    "node": re.compile(rf"(?:lymph[ _-]?nodes?|osln|ln|nodes?){NUMBERED}", re.IGNORECASE),
    "tumor": re.compile(rf"(?:(?:primary[ _-]?)?tumou?r|gtv(?:[ _-]?[pt])?){NUMBERED}", re.IGNORECASE),
    "rejected": re.compile(rf"rejected[ _-]?(?:candidates?|nodes?){NUMBERED}", re.IGNORECASE),
    "background": re.compile(r"background", re.IGNORECASE),
}
KNOWN_NAMES = "'lymph node' (or 'lymph node 1', 'lymph node 2', ...) and 'tumor' (or 'gtv')"


def kind_of(name):
    """The kind: "node", "tumor", "rejected" or "background".

    Raises:
        ValueError: If the name says none of them, with the server's sentence.
    """
    for kind, pattern in NAMES.items():
        if pattern.fullmatch(name.strip()):
            return kind
    raise ValueError(f"the segment {name!r} is not known here; name the segments {KNOWN_NAMES}, or remove it")
