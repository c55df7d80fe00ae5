"""One page of all cases: whatever names and messages hold, it shows them and runs nothing."""

import base64
import json
from html.parser import HTMLParser

from osln.output.overview import page, write_overview
from small import store as small_store

EVIL = '<script>alert("x")</script>&\' onerror=alert(1)'


class Tags(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def result(**changes):
    candidate = {
        "id": 1, "zone": None, "center_mm": [1.4, -0.2, 3.0], "radius_mm": 3.0, "volume_mm3": 113.0,
        "distance_mm": 100.0, "suv_max": None, "stage_one_score": 0.9, "score": 0.8, "kept": True,
    }  # fmt: skip
    return {
        "candidates": [candidate, candidate | {"id": 2, "score": 0.1, "kept": False, "distance_mm": 42.4}],
        "model": "osln", "operating_point": "3 FP per patient", "latencies": {"total": 2.5},
        "warnings": [], "models": {"ct": {"trained_on": "phantom"}}, "files": ["p1.nii.gz"],
    } | changes  # fmt: skip


def test_hostile_names_and_sentences_are_text(tmp_path):
    hostile = result(warnings=[EVIL], model=EVIL, operating_point=EVIL, files=[f"{EVIL}.nii.gz"])
    hostile["models"] = {"ct": {"trained_on": EVIL}}
    text = page({EVIL: hostile, "b": {"failed": EVIL}, 'javascript:"': result()}, tmp_path)
    tags = Tags(text).found
    assert "script" not in [tag for tag, _ in tags]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    assert links and all(link.startswith(("#case-", "./")) for link in links)


def test_the_page_needs_no_other_file_and_says_what_it_is(tmp_path):
    (tmp_path / "p1.png").write_bytes(b"picture")
    text = page({"p1": result(files=["p1.nii.gz", "p1.png"])}, tmp_path)
    sources = [attributes["src"] for tag, attributes in Tags(text).found if "src" in attributes]
    assert sources == ["data:image/png;base64," + base64.b64encode(b"picture").decode()]
    assert "http" not in text
    assert "not for clinical use" in text and "Weights trained on: phantom." in text
    assert "Cases: 1, lymph node candidates: 1" in text and "1, 0, 3" in text
    assert "over 100" in text and ">42<" in text


def test_finished_and_failed_cases_of_all_runs_are_on_the_page(tmp_path, bright):
    store, out = tmp_path / "store", tmp_path / "out"
    small_store.make_case(store, "good")
    (store / "bad.nii.gz").write_bytes(b"")
    bright([store], out, pictures=True)
    (out / "other.json").write_text(json.dumps({"candidates": "of another program"}))
    text = write_overview(out).read_text()
    assert "Cases: 1, lymph node candidates: 1" in text and "failed: 1" in text
    assert "data:image/png" in text and "of another program" not in text
