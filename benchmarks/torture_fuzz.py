"""Fuzzed requests over all routes: none may answer 5xx, hang, write or read outside, or end the server."""

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import requests

from benchmarks.torture_place import CANARY, Place, together
from benchmarks.torture_requests import Maker, sent
from benchmarks.torture_tally import Tally

THREADS = 4
HANG_SECONDS = 30.0
BLOCK = 250
"""Requests after which the server is asked whether it lives."""


def fuzz(folder: Path, tally: Tally, count: int, seed: int) -> None:
    """Sends `count` requests; the server is started anew if it has died."""
    place = Place(folder, tally)
    tally.size = f"{count} requests"
    answers: Counter[int] = Counter()
    numbers = iter(range(count))
    while (first := next(numbers, None)) is not None:
        with place.server() as server, place.asked(server):
            described = requests.get(f"{server.url}/openapi.json", timeout=30).json()
            parts = urlsplit(server.url)
            maker = Maker(described, parts.netloc, place.secret, seed)
            block = [first]
            while block and server.runs:
                _send(maker, parts.port or 0, block, tally, answers)
                if not server.runs:
                    tally.found("hangs", f"the server died of one of the requests {block[0]} to {block[-1]}")
                block = list(islice(numbers, BLOCK))
            if server.runs and not requests.get(f"{server.url}/info/", timeout=HANG_SECONDS).ok:
                tally.found("hangs", "the server does not answer after all requests")
    tally.measured |= {f"answered {status}": number for status, number in sorted(answers.items())}
    place.close()


def _send(maker: Maker, port: int, block: list[int], tally: Tally, answers: Counter[int]) -> None:
    """Sends the requests of some numbers from several threads."""
    queue, lock = iter(block), threading.Lock()

    def work() -> None:
        for number in _shared(queue, lock):
            request = maker.make(number)
            try:
                status, answer = sent(port, request.data, HANG_SECONDS)
            except TimeoutError:
                with lock:
                    tally.tried += 1
                    tally.found("hangs", f"{request.words} was not answered in {HANG_SECONDS:.0f} s")
                continue
            except ConnectionRefusedError:
                return  # the server is dead; who calls looks
            except OSError as error:
                status, answer = 0, str(error).encode()
            with lock:
                tally.tried += 1
                tally.acknowledged += 200 <= status < 300
                answers[status] += 1
                if status == 0:
                    tally.found("closed", f"{request.words} was closed without an answer {answer[:80]!r}")
                if status >= 500:
                    detail = answer.partition(b"\r\n\r\n")[2][:160].decode(errors="replace")
                    tally.found("errors", f"{request.words} answered {status}: {detail}")
                if CANARY.encode() in answer:
                    tally.found("outside", f"{request.words} showed a file beside the store")

    together([work] * THREADS)()


def _shared(queue: Iterator[int], lock: threading.Lock) -> Iterator[int]:
    while True:
        with lock:
            number = next(queue, None)
        if number is None:
            return
        yield number
