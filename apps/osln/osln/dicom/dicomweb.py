"""Studies of a PACS over DICOMweb (QIDO-RS and WADO-RS): the same series and files as from a folder.

Listing asks for attributes only; the pixels of a series are fetched when its case is imported and deleted
after it. Credentials go into the requests and nowhere else: not into addresses, messages, logs or files.

Reference: DICOM PS3.18 sections 10.4 (retrieve) and 10.6 (search).
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from osln.dicom.credentials import Credentials
from osln.dicom.files import Progress, Series, text

MODALITIES = ("CT", "PT", "RTSTRUCT")
PAGE = 200
RETRIES = 2
"""Further tries when the PACS is busy or fails (408, 429, 5xx), half a second and a second later."""


class WebSource:
    """A DICOMweb service as a source.

    Args:
        url: Root of the service, for instance https://pacs/dicom-web.
        credentials: For every request.
        patient: Only this patient id; None: all.
        timeout_s: Without an answer for so long, a request has failed.

    Raises:
        ValueError: If the address is none.
    """

    def __init__(
        self, url: str, credentials: Credentials, *, patient: str | None = None, timeout_s: float = 60.0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected a DICOMweb address like https://pacs.hospital/dicom-web")
        self.place = parts.hostname + (f":{parts.port}" if parts.port else "")
        self._timeout_s = timeout_s
        self._filter = {"PatientID": patient} if patient else {}
        self.problems: list[str] = []
        session = requests.Session()
        session.auth = credentials.auth()
        retry = Retry(
            total=RETRIES, connect=0, read=0, other=0, backoff_factor=0.5, raise_on_status=False,
            status_forcelist=(408, 429, 500, 502, 503, 504), respect_retry_after_header=False,
        )  # fmt: skip
        for prefix in ("http://", "https://"):
            session.mount(prefix, _WithTimeout(timeout_s, max_retries=retry))
        bare = urlunsplit((parts.scheme, self.place, parts.path.rstrip("/"), "", ""))
        self._client = DICOMwebClient(bare, session=session, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)
        # The client's helper logs a traceback for each error that is told in words here.
        logging.getLogger("retrying").setLevel(logging.CRITICAL)
        self._folder = Path(tempfile.mkdtemp(prefix="osln-dicomweb-"))
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme == "http" and session.auth is not None and not local:
            self.problems.append(f"{self.place}: the password travels unprotected; use https")

    def __enter__(self) -> "WebSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def series(self, on_progress: Progress | None = None) -> list[Series]:
        """All CT, PET and RTSTRUCT series; the attributes of one instance of each."""
        listed = [(modality, item) for modality in MODALITIES for item in self._search(modality)]
        found: list[Series] = []
        for done, (modality, item) in enumerate(listed, start=1):
            if on_progress:
                on_progress("asking the PACS", done, len(listed))
            study, series = text(item, "StudyInstanceUID"), text(item, "SeriesInstanceUID")
            with self._told():
                instances = self._instances(study, series)
                alone = modality == "RTSTRUCT"
                for instance in instances if alone else instances[:1]:
                    header = _dataset(
                        self._client.retrieve_instance_metadata(
                            study, series, text(instance, "SOPInstanceUID")
                        )
                    )
                    patients = frozenset({text(header, "PatientID")})
                    found.append(Series(header, 1 if alone else len(instances), patients))
        return found

    def paths(self, series: Series, on_progress: Progress | None = None) -> list[Path]:
        """Fetches the instances of a series into a temporary folder.

        Raises:
            ValueError: If the PACS fails, or sends something else than was asked for.
        """
        study, uid = text(series.header, "StudyInstanceUID"), series.uid
        instance = text(series.header, "SOPInstanceUID")
        paths = []
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        with self._told():
            arriving: Iterator[Dataset]
            if series.modality == "RTSTRUCT":
                arriving = iter([self._client.retrieve_instance(study, uid, instance)])
            else:
                arriving = self._client.iter_series(study, uid)
            for number, ds in enumerate(arriving):
                if on_progress:
                    on_progress("fetching", number + 1, series.count)
                if text(ds, "SeriesInstanceUID") != uid or text(ds, "PatientID") not in series.patients:
                    raise ValueError("the PACS sent images of another series or patient than asked for")
                path = folder / f"{number:05d}.dcm"
                pydicom.dcmwrite(path, ds, write_like_original=False)
                paths.append(path)
        return paths

    def release(self) -> None:
        """Deletes what was fetched."""
        for folder in self._folder.iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    def _instances(self, study: str, series: str) -> list[Dataset]:
        def ask(limit: int, offset: int) -> list[dict[str, Any]]:
            return self._client.search_for_instances(study, series, limit=limit, offset=offset)

        return [_dataset(values) for values in self._pages(ask, "SOPInstanceUID")]

    def _search(self, modality: str) -> list[Dataset]:
        filters = {"Modality": modality, **self._filter}
        with self._told():
            return [
                _dataset(item)
                for item in self._pages(
                    lambda limit, offset: self._client.search_for_series(
                        search_filters=filters, limit=limit, offset=offset
                    ),
                    "SeriesInstanceUID",
                )
            ]

    def _pages(self, ask: Callable[[int, int], list[dict[str, Any]]], keyword: str) -> list[dict[str, Any]]:
        """All results, page by page: services return fewer than asked for, or ignore the offset."""
        results: dict[str, dict[str, Any]] = {}
        while True:
            page = {text(_dataset(item), keyword): item for item in ask(PAGE, len(results))}
            if not page.keys() - results.keys():
                return list(results.values())
            results.update(page)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the network and of answers as sentences that hold no address and no credentials."""
        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            raise ValueError(_status_words(status, self.place)) from None
        except requests.exceptions.SSLError:
            raise ValueError(
                f"the certificate of {self.place} is not trusted; set REQUESTS_CA_BUNDLE to your hospital's"
            ) from None
        except requests.Timeout:
            raise ValueError(
                f"the PACS at {self.place} did not answer for {self._timeout_s:g} s; try --timeout or later"
            ) from None
        except requests.ConnectionError as error:
            if "timed out" in str(error).lower():
                reason = f"did not answer for {self._timeout_s:g} s; try --timeout or later"
            else:
                reason = "cannot be reached, or broke the connection; check address and network"
            raise ValueError(f"the PACS at {self.place} {reason}") from None
        except ValueError as error:
            if "the PACS sent" in str(error):
                raise
            raise ValueError(_no_dicomweb(self.place)) from None
        except requests.RequestException:
            raise ValueError(_no_dicomweb(self.place)) from None
        except OSError:
            # The disk, not the network.
            raise
        except Exception:
            # Whatever a wrong service sends: no JSON, no multipart, no DICOM.
            raise ValueError(_no_dicomweb(self.place)) from None


class _WithTimeout(HTTPAdapter):
    """Gives up on every request after the same time without an answer."""

    def __init__(self, timeout_s: float, **options: Any) -> None:
        self._timeout_s = timeout_s
        super().__init__(**options)

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options["timeout"] = (min(self._timeout_s, 10.0), self._timeout_s)
        return super().send(request, *args, **options)


def _dataset(values: dict[str, Any]) -> Dataset:
    return Dataset.from_json(values, bulk_data_uri_handler=lambda *_: b"")


def _no_dicomweb(place: str) -> str:
    return f"what {place} answers is not DICOMweb, or was cut off; check the path (often /dicom-web)"


def _status_words(status: int, place: str) -> str:
    if status in (401, 403):
        return (
            f"the PACS at {place} refuses ({status}): give --user and the password (asked for, or "
            "OSLN_DICOMWEB_PASSWORD), or OSLN_DICOMWEB_TOKEN"
        )
    if status == 404:
        return f"there is no DICOMweb service at this address of {place} (404); the path often is /dicom-web"
    return f"the PACS at {place} answered with status {status} to {RETRIES + 1} tries; ask its administrator"
