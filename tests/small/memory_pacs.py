"""A DICOMweb service with data sets in memory, which answers wrongly where a test asks it to."""

import io
import re
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from small.dicom import ct_slices
from small.web import Answering, serving

UID = r"([0-9.]+)"
LISTED = ("StudyInstanceUID", "SeriesInstanceUID", "Modality")
BOUNDARY = "in-between"
OTHER = str(ct_slices(name="ct2")[0].SeriesInstanceUID)
"""Series of `other_ct`."""


def other_ct() -> list[Dataset]:
    """Images of another patient's CT than `ct_slices` makes."""
    return ct_slices(name="ct2", StudyInstanceUID="1.2.3.4", FrameOfReferenceUID="1.2.3.5")


class MemoryPacs(Answering):
    """`server.objects` is what it has.

    `server.instead(handler, path)` may answer a GET itself and return True; `server.stow(handler)` answers a
    POST in place of what keeps the object. `server.asked` holds the paths of all GETs.
    """

    def do_GET(self):  # noqa: N802
        parts = urlsplit(self.path)
        path, asked = parts.path.removeprefix("/dicom-web/"), parse_qs(parts.query)
        self.server.asked.append(path)
        if self.server.instead and self.server.instead(self, path):
            return
        for pattern, answer in (
            ("(?:studies|series)", self.list_series),
            (f"studies/{UID}/series/{UID}/instances", self.list_instances),
            (f"studies/{UID}/series/{UID}(?:/instances/{UID})?(/metadata)?", self.retrieve),
        ):
            if found := re.fullmatch(pattern, path):
                return answer(asked, *found.groups())
        self.send_json({}, 404)

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.stow:
            return self.server.stow(self)
        start, end = body.index(b"\r\n\r\n") + 4, body.rindex(b"\r\n--")
        kept = pydicom.dcmread(io.BytesIO(body[start:end]), force=True)
        self.server.objects.append(kept)
        of_it = Dataset()
        of_it.ReferencedSOPInstanceUID = kept.SOPInstanceUID
        answer = Dataset()
        answer.ReferencedSOPSequence = [of_it]
        self.send_json(answer.to_json_dict())

    def list_series(self, asked):
        wanted, found = asked.get("Modality") or asked.get("00080060"), {}
        for one in self.server.objects:
            if not wanted or one.Modality in wanted:
                found.setdefault(str(one.SeriesInstanceUID), []).append(one)
        self.page(
            asked,
            [only(of_it[0], LISTED, NumberOfSeriesRelatedInstances=len(of_it)) for of_it in found.values()],
        )

    def list_instances(self, asked, study, series):
        found = [one for one in self.server.objects if one.SeriesInstanceUID == series]
        self.page(asked, [only(one, (*LISTED, "SOPInstanceUID")) for one in found])

    def page(self, asked, results):
        start = int(asked.get("offset", ["0"])[0])
        self.send_json(results[start : start + int(asked.get("limit", ["1000"])[0])])

    def retrieve(self, asked, study, series, instance, metadata):
        found = [
            one
            for one in self.server.objects
            if one.SeriesInstanceUID == series and (instance is None or one.SOPInstanceUID == instance)
        ]
        if not found:
            self.send_json({}, 404)
        elif metadata:
            headers = [pydicom.Dataset(one).to_json_dict() for one in found]
            self.send_json(
                [{tag: value for tag, value in header.items() if tag != "7FE00010"} for header in headers]
            )
        else:
            part = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            body = b"".join(part + part_10(one) + b"\r\n" for one in found) + f"--{BOUNDARY}--".encode()
            self.send_bytes(body, f'multipart/related; type="application/dicom"; boundary={BOUNDARY}')


def only(ds, keywords, **more):
    item = Dataset()
    for keyword in keywords:
        setattr(item, keyword, ds.get(keyword))
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item.to_json_dict()


def part_10(ds):
    ds = pydicom.Dataset(ds)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.is_little_endian, ds.is_implicit_VR = True, False
    content = io.BytesIO()
    pydicom.dcmwrite(content, ds, write_like_original=False)
    return content.getvalue()


@contextmanager
def memory_pacs(objects):
    """The running service; `url` and `auth` as of a `LocalOrthanc`."""
    with serving(MemoryPacs) as server:
        server.objects, server.asked = list(objects), []
        server.instead = server.stow = server.auth = None
        yield server
