"""The name of whoever drew something, as one value of one part (PS3.5, 6.2: VR PN)."""

LONGEST = 63
"""Characters: a name has at most 64, and `segmentation` ends it with a "^"."""


def person_name(person: str) -> str:
    """An annotator's name without what DICOM would take apart or refuse.

    "^" and "=" divide the parts of a name, a backslash its values: who logs in as HOSPITAL\\anna would be two
    people.

    Args:
        person: As the server knows the annotator; "" for nobody.
    """
    plain = "".join(
        " " if character in "^=\\" or not character.isprintable() else character for character in person
    )
    return " ".join(plain.split())[:LONGEST].rstrip()
