"""The list of a PACS on a stand-in for it: what is asked for, what is kept, and what a failure leaves."""

import pydicom
import pytest

from osln.dicom.web.client import PacsError
from osln.pacs.listing import Listing
from small.dicom import ct_slices, structure_set
from small.study import pet, regions


class Web:
    """Series of data sets in memory; counts the headers that are asked for."""

    def __init__(self, *series):
        self.series, self.headers, self.filters, self.down = list(series), 0, [], False

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


def test_filters_go_into_every_search(web, tmp_path):
    Listing(tmp_path / "list.json", web, {"StudyDate": "20260101-"}).refresh()

    assert {asked["Modality"] for asked in web.filters} == {"CT", "PT", "RTSTRUCT", "SEG"}
    assert all(asked["StudyDate"] == "20260101-" for asked in web.filters)


def test_damaged_list_is_made_anew(web, tmp_path):
    (tmp_path / "list.json").write_text("{")
    listing = Listing(tmp_path / "list.json", web)
    assert listing.content() == ([], [])
    assert listing.refresh() is True and len(listing.content()[0]) == 3
