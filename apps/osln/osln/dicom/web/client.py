"""Requests to a PACS over DICOMweb, with its errors as sentences.

Credentials go into the requests and nowhere else: not into addresses, messages, logs or files.
Reference: DICOM PS3.18 sections 10.4 (retrieve), 10.5 (store) and 10.6 (search).
"""

import io
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlunsplit

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from osln.dicom.reading.files import text
from osln.dicom.web.address import checked_service
from osln.dicom.web.credentials import Credentials
from osln.dicom.web.errors import RETRIES, no_dicomweb, refused, silent, unreachable, untrusted
from osln.dicom.web.errors import PacsError as PacsError

PAGE = 200


class WebClient:
    """A DICOMweb service.

    Args:
        url: Root of the service, for instance https://pacs/dicom-web; credentials in it are taken out.
        credentials: For every request.
        timeout_s: Without an answer for so long, a request has failed.

    Attributes:
        url: Without credentials.
        place: Host and port, for messages.
        warnings: What a person should know about the connection.

    Raises:
        ValueError: If the address is none.
    """

    def __init__(self, url: str, credentials: Credentials, *, timeout_s: float = 60.0) -> None:
        parts = checked_service(url)
        self.place = str(parts.hostname) + (f":{parts.port}" if parts.port else "")
        self.url = bare_address(url)
        self.warnings: list[str] = []
        self._timeout_s = timeout_s
        self._session = session = requests.Session()
        session.auth = credentials.auth()
        session.hooks["response"].append(self._note_more)
        # Requests of several threads go on beside each other.
        self._last = threading.local()
        # Nothing but searching and fetching is repeated: a POST may have arrived.
        retry = Retry(
            total=RETRIES, connect=0, read=0, other=0, backoff_factor=0.5, raise_on_status=False,
            status_forcelist=(408, 429, 500, 502, 503, 504), respect_retry_after_header=False,
        )  # fmt: skip
        for prefix in ("http://", "https://"):
            session.mount(prefix, _WithTimeout(timeout_s, max_retries=retry))
        self._client = DICOMwebClient(self.url, session=session, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)
        # The client's helper logs a traceback for each error that is told in words here.
        logging.getLogger("retrying").setLevel(logging.CRITICAL)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme == "http" and session.auth is not None and not local:
            self.warnings.append(f"{self.place}: the password travels unprotected; use https")

    def search_series(self, filters: Mapping[str, str]) -> list[Dataset]:
        """Series with these attributes, for instance {"Modality": "CT"}.

        Raises:
            PacsError: As all methods.
        """

        def ask(limit: int, offset: int) -> list[dict[str, Any]]:
            return self._client.search_for_series(search_filters=dict(filters), limit=limit, offset=offset)

        with self._told():
            return self._pages(ask, "SeriesInstanceUID")

    def search_instances(self, study: str, series: str) -> list[Dataset]:
        """Instances of a series."""

        def ask(limit: int, offset: int) -> list[dict[str, Any]]:
            return self._client.search_for_instances(study, series, limit=limit, offset=offset)

        with self._told():
            return self._pages(ask, "SOPInstanceUID")

    def header(self, study: str, series: str, instance: str) -> Dataset:
        """Attributes of an instance without its pixels."""
        with self._told():
            return dataset(self._client.retrieve_instance_metadata(study, series, instance))

    def headers(self, study: str, series: str) -> list[Dataset]:
        """Attributes of all instances of a series without their pixels."""
        with self._told():
            return [dataset(values) for values in self._client.retrieve_series_metadata(study, series)]

    def instance(self, study: str, series: str, instance: str) -> Dataset:
        """A whole instance."""
        with self._told():
            return self._client.retrieve_instance(study, series, instance)

    def instances(self, study: str, series: str) -> Iterator[Dataset]:
        """The whole instances of a series, one after the other as they arrive."""
        with self._told():
            yield from self._client.iter_series(study, series)

    def get(self, resource: str, query: str, accept: str) -> requests.Response:
        """Any resource of the service as it comes, errors of the service too.

        Args:
            resource: From `address.checked_resource`.
            query: Behind the question mark.
            accept: Media types that are wanted.

        Raises:
            PacsError: If the service cannot be reached, or refuses this program.
        """
        url = f"{self.url}/{resource}{'?' if query else ''}{query}"
        with self._told():
            reply = self._session.get(url, headers={"Accept": accept})
            if reply.status_code in (401, 403):
                reply.raise_for_status()
            return reply

    def store(self, item: Dataset) -> Dataset:
        """Sends an instance.

        Returns:
            What the PACS says about it (PS3.18, 10.5.3); empty where it says nothing that can be read.

        Raises:
            PacsError: Also if the PACS sends the request elsewhere, as to a login: what is sent again there
                is a question, not the object.
        """
        content, boundary = io.BytesIO(), uuid.uuid4().hex
        content.write(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        pydicom.dcmwrite(part := io.BytesIO(), item)
        content.write(part.getvalue())
        content.write(f"\r\n--{boundary}--\r\n".encode())
        kinds = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"',
            "Accept": "application/dicom+json",
        }
        with self._told():
            reply = self._session.post(
                f"{self.url}/studies", data=content.getvalue(), headers=kinds, allow_redirects=False
            )
            if 300 <= reply.status_code < 400:
                raise PacsError(
                    f"the PACS at {self.place} sends whoever stores an object elsewhere "
                    f"({reply.status_code}), as services do that want a login: give its own address, and "
                    "name and password"
                )
            reply.raise_for_status()
            return _said(reply)

    def _note_more(self, reply: requests.Response, **_: Any) -> None:
        """Keeps whether the last answer said that there are further results (PS3.18, 8.3.4.4)."""
        self._last.more = reply.headers.get("Warning", "").strip().startswith("299")

    def _pages(self, ask: Callable[[int, int], list[dict[str, Any]]], keyword: str) -> list[Dataset]:
        """All results, page by page.

        Services return fewer than asked for, ignore the offset, change the order between two answers, or
        answer 404 behind the last result or where there is none.

        Raises:
            PacsError: If the service says that there are more than it gives.
        """
        results: dict[str, Dataset] = {}
        while True:
            self._last.more = False
            try:
                items = ask(PAGE, len(results))
            except requests.HTTPError as error:
                if error.response is None or error.response.status_code != 404:
                    raise
                if not results and not self._is_service():
                    raise
                items = []
            page = {text(item, keyword): item for item in map(dataset, items)}
            if not page.keys() - results.keys():
                break
            results.update(page)
        if items and self._last.more:
            raise PacsError(
                f"the PACS at {self.place} says that there are more than the {len(results)} results it "
                "gives, and does not give them when asked for the next ones (offset): raise its limit of "
                "results, or ask for one patient (--patient)"
            )
        return list(results.values())

    def _is_service(self) -> bool:
        """Whether there is a service at the address: some answer 404 to a search that finds nothing."""
        reply = self._session.get(f"{self.url}/series?limit=1", headers={"Accept": "application/dicom+json"})
        return reply.status_code == 204 or (reply.ok and "json" in reply.headers.get("Content-Type", ""))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the network and of answers as sentences that hold no address and no credentials."""
        try:
            yield
        except PacsError:
            raise
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            repeated = error.request is not None and error.request.method == "GET"
            raise refused(status, self.place, repeated) from None
        except requests.exceptions.SSLError:
            raise untrusted(self.place) from None
        except requests.Timeout:
            raise silent(self.place, self._timeout_s) from None
        except requests.ConnectionError as error:
            if "timed out" in str(error).lower():
                raise silent(self.place, self._timeout_s) from None
            raise unreachable(self.place) from None
        except (ValueError, requests.RequestException):
            raise no_dicomweb(self.place) from None
        except OSError:
            # The disk, not the network.
            raise
        except Exception:
            # Whatever a wrong service sends: no JSON, no multipart, no DICOM.
            raise no_dicomweb(self.place) from None


def dataset(values: dict[str, Any]) -> Dataset:
    """A data set of DICOM JSON; what the JSON only links to stays empty."""
    return Dataset.from_json(values, bulk_data_uri_handler=lambda *_: b"")


def _said(reply: requests.Response) -> Dataset:
    """The data set of an answer to a store transaction; empty if it is none, as a page of HTML."""
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in ("application/dicom+json", "application/json"):
        return Dataset()
    try:
        values = reply.json()
        return dataset(values[0] if isinstance(values, list) else values)
    except Exception:
        # Nearly anything: no JSON, or none of DICOM. Whether the object is there is asked then.
        return Dataset()


def bare_address(url: str) -> str:
    """An address without name, password, query and closing slash.

    Raises:
        ValueError: From `checked_service`.
    """
    parts = checked_service(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


class _WithTimeout(HTTPAdapter):
    """Gives up on every request after the same time without an answer."""

    def __init__(self, timeout_s: float, **options: Any) -> None:
        self._timeout_s = timeout_s
        super().__init__(**options)

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options["timeout"] = (min(self._timeout_s, 10.0), self._timeout_s)
        return super().send(request, *args, **options)
