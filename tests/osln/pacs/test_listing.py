"""The list of a PACS on a stand-in for it: what is asked for, what is kept, and what a failure leaves."""

import json

import pydicom
import pytest

from osln.dicom.web.errors import AwayError, PacsError
from osln.pacs.listing import Listing
from small.dicom import ct_slices, structure_set
from small.study import pet, regions


class Web:
    """Series of data sets in memory; counts the headers that are asked for."""

    def __init__(self, *series):
        self.series, self.headers, self.filters, self.down = list(series), 0, [], False
        self.broken = {}

    def search_series(self, filters):
        if self.down:
            raise PacsError("the PACS is away")
        self.filters.append(filters)
        return [self.listed(s) for s in self.series if s[0].Modality == filters["Modality"]]

    def listed(self, series):
        item = pydicom.Dataset()
        item.StudyInstanceUID, item.SeriesInstanceUID = (
            series[0].StudyInstanceUID,
            series[0].SeriesInstanceUID,
        )
        item.Modality, item.NumberOfSeriesRelatedInstances = series[0].Modality, len(series)
        return item

    def search_instances(self, study, uid):
        return next(s for s in self.series if s[0].SeriesInstanceUID == uid)

    def header(self, study, uid, instance):
        self.headers += 1
        if error := self.broken.get(uid):
            raise error
        return next(ds for ds in self.search_instances(study, uid) if ds.SOPInstanceUID == instance)


def segmentation(ct, **tags):
    ds = pydicom.Dataset()
    ds.Modality, ds.StudyInstanceUID, ds.SeriesInstanceUID = "SEG", ct[0].StudyInstanceUID, "1.2.7"
    ds.SOPInstanceUID, ds.Manufacturer, ds.ContentLabel = "1.2.7.1", "OSLN Label", "OSLN_APPROVED"
    ds.ContentDate, ds.ContentTime, ds.InstanceNumber = "20260102", "030405", 4
    ds.ContentCreatorName = "Anna Nadel^"
    referred = pydicom.Dataset()
    referred.SeriesInstanceUID = ct[0].SeriesInstanceUID
    ds.ReferencedSeriesSequence = [referred]
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return [ds]


@pytest.fixture
def web():
    return Web(ct_slices(), pet(), [structure_set(ct_slices(), regions())])


def test_list_holds_attributes_and_counts_and_comes_back_from_the_disk(web, tmp_path):
    assert Listing(tmp_path / "list.json", web).refresh() is True

    series, segs = Listing(tmp_path / "list.json", web).content()
    assert [(item.modality, item.count) for item in series] == [("CT", 12), ("PT", 6), ("RTSTRUCT", 1)]
    assert series[0].frame == ct_slices()[0].FrameOfReferenceUID and segs == []
    assert series[2].header.ReferencedFrameOfReferenceSequence
    assert "PixelData" not in series[0].header and "InstitutionName" not in series[0].header


def test_only_new_and_changed_series_are_asked_about(web, tmp_path):
    listing = Listing(tmp_path / "list.json", web)
    listing.refresh()
    assert web.headers == 3
    assert listing.refresh() is False and web.headers == 3

    web.series[1] = web.series[1][:4]
    assert listing.refresh() is True and web.headers == 4
    assert [item.count for item in listing.content()[0]] == [12, 4, 1]
    del web.series[1]
    assert listing.refresh() is True and web.headers == 4


def test_segmentations_of_ours_are_known_by_case_date_and_author(web, tmp_path):
    web.series.append(segmentation(ct_slices()))
    listing = Listing(tmp_path / "list.json", web)
    listing.refresh()

    (seg,) = listing.content()[1]
    assert (seg.ct, seg.content, seg.number) == (ct_slices()[0].SeriesInstanceUID, "OSLN_APPROVED", 4)
    assert (seg.created, seg.by, seg.instance) == ("2026-01-02T03:04:05", "Anna Nadel", "1.2.7.1")


def test_foreign_segmentation_is_asked_about_once_and_left_out(web, tmp_path):
    web.series.append(segmentation(ct_slices(), Manufacturer="Somebody else"))
    listing = Listing(tmp_path / "list.json", web)
    listing.refresh()
    listing.refresh()

    assert listing.content()[1] == [] and web.headers == 4


def test_failure_leaves_the_list_as_it_was(web, tmp_path):
    listing = Listing(tmp_path / "list.json", web)
    listing.refresh()
    web.down = True

    with pytest.raises(PacsError):
        listing.refresh()
    assert len(listing.content()[0]) == 3


def test_series_that_cannot_be_described_is_left_out_with_the_reason_and_tried_again(web, tmp_path):
    bad = ct_slices(name="bad")
    uid = bad[0].SeriesInstanceUID
    web.series.insert(0, bad)
    web.broken[uid] = PacsError("the PACS answered with status 500")
    listing = Listing(tmp_path / "list.json", web)

    assert listing.refresh() is True
    assert [item.modality for item in listing.content()[0]] == ["CT", "PT", "RTSTRUCT"]
    assert listing.left_out == (f"CT series {uid}: the PACS answered with status 500",)
    assert Listing(tmp_path / "list.json", web).left_out == listing.left_out
    headers = web.headers
    assert listing.refresh() is False and web.headers == headers + 1

    web.broken.clear()
    assert listing.refresh() is True and listing.left_out == ()
    assert sorted(item.modality for item in listing.content()[0]) == ["CT", "CT", "PT", "RTSTRUCT"]


def test_series_that_can_no_longer_be_described_stays_as_it_was(web, tmp_path):
    listing = Listing(tmp_path / "list.json", web)
    listing.refresh()
    web.series[0] = web.series[0][:10]
    web.broken[web.series[0][0].SeriesInstanceUID] = PacsError("not now")
    listing.refresh()

    assert [item.count for item in listing.content()[0]] == [12, 6, 1] and len(listing.left_out) == 1
    web.broken.clear()
    assert listing.refresh() is True and sorted(item.count for item in listing.content()[0]) == [1, 6, 10]


def test_pacs_that_describes_nothing_is_an_error(web, tmp_path):
    web.broken = dict.fromkeys((one[0].SeriesInstanceUID for one in web.series), PacsError("status 500"))

    with pytest.raises(PacsError, match="status 500"):
        Listing(tmp_path / "list.json", web).refresh()


def test_pacs_that_goes_away_in_the_middle_leaves_what_was_described(web, tmp_path):
    web.broken[web.series[2][0].SeriesInstanceUID] = AwayError("the PACS cannot be reached")
    listing = Listing(tmp_path / "list.json", web)

    with pytest.raises(AwayError):
        listing.refresh()
    assert [item.modality for item in listing.content()[0]] == ["CT", "PT"]
    web.broken.clear()
    web.headers = 0
    assert listing.refresh() is True and web.headers == 1


def test_structure_set_that_is_replaced_within_its_series_is_read_anew(web, tmp_path):
    listing = Listing(tmp_path / "list.json", web)
    listing.refresh()
    series = web.series[2][0].SeriesInstanceUID
    other = structure_set(ct_slices(), regions(), name="corrected")
    other.SeriesInstanceUID = series
    web.series[2] = [other]

    assert listing.refresh() is True
    assert listing.content()[0][2].header.SOPInstanceUID == other.SOPInstanceUID
    assert listing.refresh() is False


def test_list_of_a_former_version_is_read(web, tmp_path):
    Listing(tmp_path / "list.json", web).refresh()
    kept = json.loads((tmp_path / "list.json").read_text())
    del kept["left out"]
    (tmp_path / "list.json").write_text(json.dumps(kept))
    web.headers = 0
    listing = Listing(tmp_path / "list.json", web)

    assert len(listing.content()[0]) == 3 and listing.left_out == ()
    listing.refresh()
    assert web.headers == 0


def test_filters_go_into_every_search(web, tmp_path):
    Listing(tmp_path / "list.json", web, {"StudyDate": "20260101-"}).refresh()

    assert {asked["Modality"] for asked in web.filters} == {"CT", "PT", "RTSTRUCT", "SEG"}
    assert all(asked["StudyDate"] == "20260101-" for asked in web.filters)


def test_damaged_list_is_made_anew(web, tmp_path):
    (tmp_path / "list.json").write_text("{")
    listing = Listing(tmp_path / "list.json", web)
    assert listing.content() == ([], [])
    assert listing.refresh() is True and len(listing.content()[0]) == 3
