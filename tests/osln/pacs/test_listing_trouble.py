"""A PACS that answers wrongly for one series, and structure sets that are replaced, over HTTP."""

import numpy as np
import pytest

from osln.dicom.web.client import PacsError
from small.dicom import AXIAL, ct_slices, structure_set
from small.memory_pacs import OTHER, memory_pacs, other_ct
from small.pacs import CASE, mirror_of
from small.study import regions


@pytest.fixture
def pacs():
    with memory_pacs([*ct_slices(), *other_ct()]) as server:
        yield server


def listed(pacs, root):
    mirror = mirror_of(pacs, root)
    mirror.listing.refresh()
    return mirror


@pytest.mark.parametrize("trouble", ["404", "500", "html", "no instances"])
def test_one_series_with_trouble_hides_no_other_one(pacs, tmp_path, trouble):
    def instead(handler, path):
        if path == f"studies/1.2.3.4/series/{OTHER}/instances" and trouble == "no instances":
            handler.send_json([])
            return True
        if f"series/{OTHER}/instances/" not in path or trouble == "no instances":
            return False
        if trouble == "html":
            handler.send_bytes(b"<html>", "text/html")
        else:
            handler.send_json({}, int(trouble))
        return True

    pacs.instead = instead
    mirror = listed(pacs, tmp_path)
    assert list(mirror.cases().plans) == [CASE]
    (reason,) = mirror.cases().left_out
    assert reason.startswith(f"CT series {OTHER}: ")

    pacs.instead = None
    mirror.listing.refresh()
    assert set(mirror.cases().plans) == {CASE, OTHER} and mirror.cases().left_out == ()


def test_search_that_finds_nothing_may_be_answered_with_404(pacs, tmp_path):
    def instead(handler, path):
        if path == "series" and "Modality=CT" not in handler.path and "00080060=CT" not in handler.path:
            if "limit=1&" not in f"{handler.path}&" and not handler.path.endswith("limit=1"):
                handler.send_json({}, 404)
                return True
        return False

    pacs.instead = instead
    assert set(listed(pacs, tmp_path).cases().plans) == {CASE, OTHER}


def test_address_without_a_service_is_no_empty_pacs(pacs, tmp_path):
    pacs.url = pacs.url.replace("dicom-web", "elsewhere")

    with pytest.raises(PacsError, match="no DICOMweb service at this address"):
        listed(pacs, tmp_path)


def test_structure_set_that_was_replaced_since_the_listing_is_fetched_all_the_same(pacs, tmp_path):
    drawn = structure_set(ct_slices(), {"GTVp": regions(AXIAL)["GTVp"]})
    pacs.objects.append(drawn)
    mirror = listed(pacs, tmp_path)
    moved = [points + np.array([0.0, 0.0, 3.0]) for points in regions(AXIAL)["GTVp"]]
    corrected = structure_set(ct_slices(), {"GTVp": moved}, name="corrected")
    corrected.SeriesInstanceUID = drawn.SeriesInstanceUID
    pacs.objects[-1] = corrected

    assert mirror.ensure(CASE) is None
    assert (mirror.root / "labels" / "gtv" / f"{CASE}.nii.gz").is_file()
    assert mirror.cases().plans[CASE].structures[0].header.SOPInstanceUID == corrected.SOPInstanceUID
