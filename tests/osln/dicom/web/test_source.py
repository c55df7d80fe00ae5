"""Import over DICOMweb from a small service in this process: paging, fetching, and a PACS that misbehaves."""

import io
import json
import logging
import re
import time
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pydicom
import pytest

from osln.dicom.intake.deidentify import Deidentifier
from osln.dicom.intake.importing import ImportOptions, import_studies
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.web.client import PacsError, WebClient
from osln.dicom.web.credentials import Credentials, ask_credentials
from osln.dicom.web.source import WebSource
from osln.store.layout import companions, load_study
from small.dicom import body, ct_slices, structure_set
from small.foreign_seg import foreign
from small.study import KEY, pet, regions
from small.web import Answering, serving

SECRET = "s3cret-pass"


class Pacs(Answering):
    """QIDO and WADO over the data sets of the server; `behavior` may replace an answer."""

    def do_GET(self):  # noqa: N802
        self.server.asked.append(self.path)
        replaced = self.server.behavior(self)
        if replaced:
            return
        parts = urlsplit(self.path)
        path, query = parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()}
        series = re.search(r"/series/([^/]+)", path)
        instance = re.search(r"/instances/([^/]+)", path)
        found = [
            ds
            for ds in self.server.datasets
            if (not series or ds.SeriesInstanceUID == series[1])
            and (not instance or ds.SOPInstanceUID == instance[1])
            and all(str(ds.get(key, "")) == query[key] for key in ("Modality", "PatientID") if key in query)
        ]
        if path.endswith("/metadata"):
            self.send_json([self.plain(ds) for ds in found])
        elif path.endswith("/series"):
            unique = {ds.SeriesInstanceUID: ds for ds in found}
            self.send_json(self.page(list(unique.values()), query))
        elif path.endswith("/instances"):
            self.send_json(self.page(found, query))
        else:
            self.send_multipart(found)

    def page(self, found, query):
        # This service never sends more than 7 at once, whatever is asked for.
        start = int(query.get("offset", 0))
        return [self.plain(ds) for ds in found[start : start + min(7, int(query.get("limit", 7)))]]

    def plain(self, ds):
        values = ds.to_json_dict()
        values.pop("7FE00010", None)
        return values

    def send_multipart(self, found):
        parts = b""
        for ds in found:
            file = io.BytesIO()
            pydicom.dcmwrite(file, ds, write_like_original=False)
            parts += b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + file.getvalue() + b"\r\n"
        self.send_bytes(parts + b"--xyz--\r\n", 'multipart/related; type="application/dicom"; boundary=xyz')


@pytest.fixture
def pacs():
    with serving(Pacs) as server:
        ct = ct_slices()
        server.datasets = [*ct, *pet(), structure_set(ct, regions())]
        server.behavior, server.asked = (lambda request: False), []
        yield server


def run(server, store, credentials=None, patient=None, **options):
    web = WebClient(server.url, credentials or Credentials(), **options)
    with WebSource(web, patient=patient) as source:
        report = import_studies(source, store, Deidentifier(KEY), ImportOptions(load_rules()))
        source_folder = source._folder
    assert not source_folder.exists()
    return report


def test_study_of_a_pacs_becomes_the_same_case_as_from_files(pacs, tmp_path):
    [manifest] = run(pacs, tmp_path / "store").imported

    read = load_study(companions(tmp_path / "store", manifest["case"]))
    assert read.ct.array.min() == body().min() and read.ct.array.shape == (20, 16, 12)
    assert read.pet is not None and read.tumor.array.sum() == 4 * 3 * 3 and read.nodes.array.any()
    assert manifest["ct"]["images"] == 12
    np.testing.assert_array_equal(read.ct.array, read.ct.array.astype(np.int16))


def test_a_scout_that_the_pacs_lists_first_does_not_speak_for_its_ct(pacs, tmp_path):
    scout = ct_slices(name="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    scout.SeriesInstanceUID = pacs.datasets[0].SeriesInstanceUID
    pacs.datasets.insert(0, scout)

    [manifest] = run(pacs, tmp_path / "store").imported

    assert manifest["tumor"]["regions"] == ["GTVp"] and manifest["ct"]["images"] == 13
    assert "1 localizers or projections in the CT series were left out" in manifest["warnings"]


def test_a_segmentation_on_the_pacs_is_read_by_its_names(pacs, tmp_path):
    pacs.datasets[-1] = foreign("GTVp", "LN 4R", "Heart")
    [manifest] = run(pacs, tmp_path / "store").imported

    assert manifest["tumor"]["regions"] == ["GTVp"]
    assert [node["region"] for node in manifest["nodes"]] == ["LN 4R"]


def test_case_that_is_there_is_not_fetched_again(pacs, tmp_path):
    run(pacs, tmp_path / "store")
    pacs.asked.clear()

    assert [item["state"] for item in run(pacs, tmp_path / "store").present] == ["imported before"]
    assert not [path for path in pacs.asked if re.search(r"/series/[^/]+$", path)]


def test_only_the_patient_that_is_asked_for_is_listed(pacs, tmp_path):
    report = run(pacs, tmp_path / "store", patient="nobody")

    assert report.imported == report.skipped == []


def test_images_of_a_patient_that_was_not_asked_for_are_refused(pacs, tmp_path):
    def swap(request):
        if re.search(r"/series/[^/]+$", urlsplit(request.path).path):
            foreign = pacs.datasets[0].copy()
            foreign.PatientID = "somebody else"
            request.send_multipart([foreign])
            return True
        return False

    pacs.behavior = swap
    report = run(pacs, tmp_path / "store")

    assert "another series or patient" in report.skipped[0]["reason"]
    assert not list((tmp_path / "store").glob("*.nii.gz"))


def test_password_opens_the_pacs_and_is_written_nowhere(pacs, tmp_path, caplog, capfd):
    def guarded(request):
        # Basic dXNlci4uLg== is "user:s3cret-pass" in base64.
        if request.headers.get("Authorization") != "Basic dXNlcjpzM2NyZXQtcGFzcw==":
            request.send_bytes(b"no", "text/plain", 401)
            return True
        return False

    pacs.behavior = guarded
    caplog.set_level(logging.DEBUG)
    credentials = ask_credentials(pacs.url.replace("//", f"//user:{SECRET}@"), None)

    with pytest.raises(ValueError, match=r"refuses \(401\): give name and password"):
        run(pacs, tmp_path / "store", Credentials("user", "wrong"))
    report = run(pacs, tmp_path / "store", credentials)

    assert len(report.imported) == 1
    written = "".join(p.read_text(errors="replace") for p in (tmp_path / "store").rglob("*") if p.is_file())
    shown = (
        caplog.text + repr(credentials) + json.dumps(report.as_json()) + written + "".join(capfd.readouterr())
    )
    assert SECRET not in shown and "dXNlcjpzM2NyZXQtcGFzcw" not in shown


def test_address_with_a_password_does_not_show_it(pacs):
    web = WebClient(pacs.url.replace("//", f"//user:{SECRET}@"), Credentials("user", SECRET))
    assert SECRET not in web.place and SECRET not in web.url and SECRET not in web._client.base_url


def test_credentials_come_from_variables_or_the_keyboard(monkeypatch):
    monkeypatch.setenv("OSLN_DICOMWEB_TOKEN", "tok")
    assert ask_credentials("https://pacs/dicom-web", None).token == "tok"
    monkeypatch.delenv("OSLN_DICOMWEB_TOKEN")
    assert ask_credentials("https://pacs/dicom-web", "me", ask=lambda prompt: "typed").password == "typed"
    monkeypatch.setenv("OSLN_DICOMWEB_PASSWORD", "env")
    assert ask_credentials("https://pacs/dicom-web", "me").password == "env"
    assert ask_credentials("https://pacs/dicom-web", None).auth() is None


def test_busy_pacs_is_asked_again(pacs, tmp_path):
    failures = [503, 500]

    def busy(request):
        if failures:
            request.send_bytes(b"busy", "text/plain", failures.pop())
            return True
        return False

    pacs.behavior = busy

    assert len(run(pacs, tmp_path / "store").imported) == 1


def answer(content, kind, status):
    def behavior(request):
        request.send_bytes(content, kind, status)
        return True

    return behavior


def silent(request):
    time.sleep(1.5)
    return True


@pytest.mark.parametrize(
    ("behavior", "words"),
    [
        (answer(b"broken", "text/plain", 500), "status 500 to 3 tries"),
        (answer(b"gone", "text/plain", 404), "no DICOMweb service"),
        (answer(b"<html>Welcome</html>", "text/html", 200), "is not DICOMweb"),
        (answer(b'[{"0020000D": 5}]', "application/dicom+json", 200), "is not DICOMweb"),
        (silent, r"did not answer for 0.3 s"),
    ],
)
def test_pacs_that_misbehaves_is_told_in_words(pacs, tmp_path, caplog, behavior, words):
    pacs.behavior = behavior

    with pytest.raises(ValueError, match=words):
        run(pacs, tmp_path / "store", timeout_s=0.3)

    assert "Error" not in caplog.text
    assert not list((tmp_path / "store").rglob("*.nii.gz"))


def test_pacs_that_fails_in_the_middle_skips_the_study_and_leaves_nothing(pacs, tmp_path):
    def breaks(request):
        if re.search(r"/series/[^/]+$", urlsplit(request.path).path):
            request.send_response(200)
            request.send_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=xyz')
            request.send_header("Content-Length", "100000")
            request.end_headers()
            request.wfile.write(b"--xyz\r\nContent-Type: application/dicom\r\n\r\nhalf")
            request.close_connection = True
            return True
        return False

    pacs.behavior = breaks
    report = run(pacs, tmp_path / "store")

    assert report.imported == [] and not list((tmp_path / "store").rglob("*.nii.gz"))
    assert re.search("cut off|broke the connection|images of the CT arrived", report.skipped[0]["reason"])


def test_nobody_listening_is_told():
    with pytest.raises(PacsError, match="cannot be reached"):
        WebClient("http://127.0.0.1:9/dicom-web", Credentials()).search_series({"Modality": "CT"})
    with pytest.raises(ValueError, match="expected a DICOMweb address"):
        WebClient("ftp://pacs", Credentials())


def limited(server, header, results=3):
    """Searches give the same few results whatever offset is asked for."""

    def behavior(request):
        path = urlsplit(request.path).path
        if not path.endswith("/instances"):
            return False
        series = re.search(r"/series/([^/]+)", path)[1]
        found = [request.plain(ds) for ds in server.datasets if ds.SeriesInstanceUID == series][:results]
        body = json.dumps(found).encode()
        request.send_response(200)
        for name, value in (
            ("Content-Type", "application/dicom+json"),
            ("Content-Length", len(body)),
            *header,
        ):
            request.send_header(name, str(value))
        request.end_headers()
        request.wfile.write(body)
        return True

    server.behavior = behavior


def test_a_pacs_that_keeps_results_back_and_says_so_is_not_believed(pacs, tmp_path):
    limited(pacs, [("Warning", '299 pacs "There are 9 additional results that can be requested"')])

    with pytest.raises(PacsError, match="more than the 3 results it gives"):
        run(pacs, tmp_path / "store")


def test_a_series_of_more_images_than_are_listed_is_not_believed(pacs, tmp_path):
    for ds in pacs.datasets:
        ds.NumberOfSeriesRelatedInstances = 12
    limited(pacs, [])

    with pytest.raises(PacsError, match="lists 3 of 12 images"):
        run(pacs, tmp_path / "store")


def test_a_study_with_a_series_that_cannot_be_described_is_left_out_whole_and_the_others_are_imported(
    pacs, tmp_path
):
    for number, listed in ((1, 1), (2, 9), (3, 9)):
        other = pacs.datasets[0].copy()
        other.PatientID, other.StudyInstanceUID = "other", "1.2.3"
        other.SeriesInstanceUID = other.SOPInstanceUID = f"1.2.3.{number}"
        other.NumberOfSeriesRelatedInstances = listed
        pacs.datasets.append(other)
    report = run(pacs, tmp_path / "store")

    assert len(report.imported) == 1 and report.skipped == []
    [problem] = report.problems
    told = r"study 1\.2\.3, left out whole: its series 1\.2\.3\.[23]: the PACS lists 1 of 9 images"
    assert re.match(told, problem)


def test_404_behind_the_last_result_is_the_end(pacs, tmp_path):
    def behavior(request):
        if int(parse_qs(urlsplit(request.path).query).get("offset", ["0"])[0]) < 12:
            return False
        request.send_error(404)
        return True

    pacs.behavior = behavior

    [manifest] = run(pacs, tmp_path / "store").imported
    assert manifest["ct"]["images"] == 12
