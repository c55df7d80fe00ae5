"""Which results match a query."""

import pytest

from osln.dicom.served.search import matching

ONE, TWO, THREE = RESULTS = [
    {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
        "00080061": {"vr": "CS", "Value": modalities},
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00080020": {"vr": "DA"} | ({"Value": [date]} if date else {}),
    }
    for name, modalities, uid, date in (
        ("Müller^A", ["CT", "PT"], "1.2.3", "20240105"),
        ("phantom-02", ["CT"], "1.2.4", ""),
        ("phantom-[3]", ["CT"], "1.2.5", "20240301"),
    )
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", RESULTS),
        ("PatientName=", RESULTS),
        ("PatientName=müller*", [ONE]),
        ("00100010=*-0?", [TWO]),
        ("0010,0010=phantom-[3]", [THREE]),
        ("PatientName=phantom", []),
        ("ModalitiesInStudy=PT", [ONE]),
        ("ModalitiesInStudy=PT,MR", [ONE]),
        ("StudyInstanceUID=1.2.3,1.2.5", [ONE, THREE]),
        ("StudyInstanceUID=1.2.3\\1.2.4", [ONE, TWO]),
        ("StudyDate=20240101-20240131", [ONE]),
        ("StudyDate=20240201-", [THREE]),
        ("StudyDate=-20240201", [ONE]),
        ("StudyDate=20240301", [THREE]),
        ("AccessionNumber=7", []),
        ("ModalitiesInStudy=CT&PatientName=phantom*", [TWO, THREE]),
        ("limit=1&offset=1", [TWO]),
        ("limit=0", []),
        ("fuzzymatching=true&includefield=00081030,00080060&limit=101&offset=0", RESULTS),
    ],
)
def test_matching(query, found):
    assert matching(RESULTS, query) == found


@pytest.mark.parametrize(
    ("query", "told"),
    [("limit=-1", "limit is a whole number"), ("offset=x", "offset is"), ("Patient=x", "no attribute")],
)
def test_what_is_no_query_is_told(query, told):
    with pytest.raises(ValueError, match=told):
        matching(RESULTS, query)
