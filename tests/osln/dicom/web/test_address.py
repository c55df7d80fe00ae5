import pytest

from osln.dicom.web.address import checked_query, checked_resource


@pytest.mark.parametrize(
    "path",
    [
        "studies",
        "series",
        "instances",
        "studies/1.2",
        "studies/1.2/series",
        "studies/1.2/metadata",
        "studies/1.2/series/1.3/instances",
        "studies/1.2/series/1.3/metadata",
        "studies/1.2/series/1.3/instances/1.4",
        "studies/1.2/series/1.3/instances/1.4/frames/1,2",
        "studies/1.2/series/1.3/instances/1.4/frames/1/rendered",
        "studies/1.2/series/1.3/instances/1.4/bulk/7fe00010",
    ],
)
def test_searches_and_retrievals_are_addresses(path):
    assert checked_resource(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "studies/",
        "/studies",
        "../system",
        "studies/../../system",
        "studies/..",
        "studies/%2e%2e/system",
        "studies/%252e%252e",
        "studies/1.2/..%2f..%2fsystem",
        "studies\\..\\system",
        "studies/1.2;/../x",
        "studies/1..2",
        "studies/.1",
        "studies//series",
        "studies/1.2/series/1.3/instances/1.4/frames/",
        "studies/1.2/series/1.3/instances/1.4/frames/1/../..",
        "studies/1.2/series/1.3/instances/1.4/bulk/../../x",
        "studies/1.2\n",
        "studies/\u0661.2",
        "http://127.0.0.1:9/",
        "studies/1.2?x=1",
        "studies/1.2#x",
        "instances/1.2",
        "studies/" + "1." * 600 + "1",
    ],
)
def test_whatever_else_is_asked_for_is_none(path):
    assert checked_resource(path) is None


def test_a_query_is_written_anew():
    assert checked_query("PatientID=a%2Fb&limit=5&fuzzy=") == "PatientID=a%2Fb&limit=5&fuzzy="
    assert checked_query("x=1%0d%0aHost:%20evil") == "x=1%0D%0AHost%3A+evil"
