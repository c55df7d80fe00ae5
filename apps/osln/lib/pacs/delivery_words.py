"""What is told of labels on their way to the PACS: of all together, and of one case."""

from typing import Any

from osln.pacs.outbox import Outbox
from osln.store.parts import partial_review
from osln.store.revisions import label_revisions

ON_THE_PACS = "The label is on the PACS."
TAGS = ("final", "gtv")


def waiting(outbox: Outbox) -> dict[str, Any]:
    """Number of revisions of all cases that the PACS does not have yet, and why the last try failed.

    A file that is damaged counts none, and is told.
    """
    number, errors = 0, []
    for entry in outbox.entries():
        try:
            number += len(outbox.waiting(entry))
        except (OSError, ValueError) as error:
            errors.append(str(error))
        else:
            errors += [entry.error] if entry.error else []
    errors += outbox.damaged()
    return {"waiting": number, "last_error": errors[-1] if errors else ""}


def about(outbox: Outbox, case: str) -> dict[str, Any]:
    """Whether the labels of one case are on the PACS: `waiting`, `last_error` and a `message`."""
    number, errors, told = 0, [], []
    for tag in TAGS:
        try:
            waits, error, sentence = _about_label(outbox, case, tag)
        except (OSError, ValueError) as damage:
            waits, error = 0, str(damage)
            sentence = f"The label is kept here; it is not known whether the PACS has it: {damage}."
        number += waits
        errors += [error] if error else []
        told += [sentence] if sentence else []
    message = next(
        (one for one in told if one != ON_THE_PACS), told[0] if told else "The label is kept here."
    )
    return {"waiting": number, "last_error": errors[-1] if errors else "", "message": message}


def _about_label(outbox: Outbox, case: str, tag: str) -> tuple[int, str, str]:
    """How many revisions are on their way, why the last try failed, and a sentence ("" for none)."""
    head = label_revisions(outbox.root, case, tag).head()
    if head is None:
        return 0, "", ""
    entry = outbox.entry(case, tag)
    waits = outbox.waiting(entry)
    number, error = (len(waits), entry.error) if entry.open else (0, "")
    # The newest first: that an older one cannot be sent says nothing about it.
    if tag == "final" and partial_review(outbox.root, case) is not None:
        sentence = "A case in part is kept here; it goes to the PACS when it is complete."
    elif entry.has_sent(head) or head.source == "pacs":
        sentence = ON_THE_PACS
    elif head.revision in entry.given_up:
        sentence = "The label is kept here; sending it to the PACS was given up."
    elif head not in waits:
        sentence = ""
    elif not entry.open:
        sentence = (
            "The label is kept here and not on its way to the PACS, because its entry in .osln/outbox was "
            "removed: submit it once more."
        )
    elif error:
        sentence = f"The label is kept here and goes to the PACS later: {error}."
    else:
        sentence = "The label is kept here and on its way to the PACS."
    return number, error, sentence
