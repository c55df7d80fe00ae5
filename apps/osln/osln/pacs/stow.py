"""One object to the PACS by STOW-RS, and whether it is there afterwards.

Reference: DICOM PS3.18, 10.5 (store transaction), table 10.5.3-1 (answers) and PS3.4, B.2.3 (reasons).
"""

from pydicom.dataset import Dataset

from osln.dicom.reading.files import text
from osln.dicom.web.client import PacsError, WebClient

REASONS = {
    0x0110: "it failed while it worked on the object",
    0x0122: "it does not take DICOM Segmentations (SOP class not supported)",
    0x0124: "it does not allow that",
    0xA700: "it has no room left",
    0xA900: "the object does not fit what it has of this patient or study",
    0xC000: "it does not understand the object",
}


def store_object(web: WebClient, item: Dataset) -> None:
    """Sends an object; one that is there already counts as sent.

    It is taken for stored only if the PACS names it as such, or finds it afterwards: logins, error pages and
    proxies answer with a status of success too.

    Raises:
        PacsError: If the PACS cannot be reached or does not take it; the sentence says why.
    """
    try:
        answer = web.store(item)
    except PacsError:
        # Some answer with an error to what they have; a connection can break after the object was stored.
        if is_there(web, item):
            return
        raise
    failed = answer.get("FailedSOPSequence") or ()
    stored = {text(one, "ReferencedSOPInstanceUID") for one in answer.get("ReferencedSOPSequence") or ()}
    if (not failed and text(item, "SOPInstanceUID") in stored) or is_there(web, item):
        return
    if failed:
        code = int(failed[0].get("FailureReason") or 0)
        reason = REASONS.get(code, "it does not say why")
        raise PacsError(f"the PACS at {web.place} does not take the object: {reason} ({code:04X}H)")
    raise PacsError(
        f"the PACS at {web.place} answered without an error, but does not say that it stored the object, and "
        "does not find it: check its address, name and password, or ask its administrator"
    )


def is_there(web: WebClient, item: Dataset) -> bool:
    """Whether the PACS has an object of this UID; False where it cannot be asked."""
    try:
        found = web.search_instances(text(item, "StudyInstanceUID"), text(item, "SeriesInstanceUID"))
    except PacsError:
        return False
    return text(item, "SOPInstanceUID") in {text(instance, "SOPInstanceUID") for instance in found}
