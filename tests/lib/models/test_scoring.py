"""The server's own making of evidence: what is missing is made once, what fails is not tried again."""

from types import SimpleNamespace

import pytest
from fastapi import HTTPException

from lib.models.scoring import Evidence, plan
from lib.options import BY_ITSELF
from lib.store.datastore import OslnDatastore
from lib.store.evidence import kept, kept_descriptor, marks
from lib.store.work import lease_case, leave_case
from osln.active.descriptors import NAMES
from osln.active.evidence import CaseEvidence, weights_key
from osln.published import led_by
from osln.rows.experiments import PRESETS
from small.evidence import candidate
from small.store import make_case, tumor, write


class Published:
    """Weights in use of the fused row alone; `version` stands for their checksum."""

    rows = led_by("osln")
    version: str | None = "1"
    threshold = 0.5

    def checksums(self, row):
        return {"ct": self.version} if row.name == "osln" and self.version else None

    def handed(self, row):
        return self.threshold

    @property
    def key(self) -> str:
        return weights_key("osln", {"ct": self.version}, self.threshold)


@pytest.fixture
def place(tmp_path):
    """A store of three cases with its scoring; `asked` has the cases whose nodes were looked for."""
    for case in ("p1", "p2", "p3"):
        make_case(tmp_path / "store", case)
    store, published, asked = OslnDatastore(tmp_path / "store"), Published(), []
    place = SimpleNamespace(store=store, published=published, asked=asked, refused={}, meanwhile={})

    def infer(request):
        case = request["image"]
        asked.append(case)
        if case in place.refused:
            raise place.refused[case]
        write(tmp_path / "out.nii.gz", tumor())
        store.save_label(
            case, str(tmp_path / "out.nii.gz"), "original", {"model": request["model"], "params": {}}
        )
        place.meanwhile.pop(case, lambda: None)()
        found = CaseEvidence(case, published.key, 0.5, (candidate(1, 0.5),))
        store.keep_evidence(case, found, marks(store.root, case))
        return {"file": str(tmp_path / "out.nii.gz")}

    scoring = Evidence(published, PRESETS["demo"], infer)
    place.run = lambda: scoring({"method": "evidence", "background": True}, store)
    place.plan = lambda: plan(store, published)
    return place


def test_every_waiting_case_is_looked_at_once_and_described(place):
    assert place.run() == {"done": 3, "failed": {}, "described": 3}
    assert place.asked == ["p1", "p2", "p3"]
    assert len(kept_descriptor(place.store.root, "p1").values) == len(NAMES)
    assert place.run() == {"done": 0, "failed": {}, "described": 0}
    assert (place.plan().done, place.plan().left) == (3, 0)


def test_after_a_publish_all_is_made_anew_and_what_is_done_is_not_done_again(place):
    place.run()
    place.published.version = "2"
    place.refused["p2"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        place.run()
    assert dict(place.plan().missing) == {"p2": "osln", "p3": "osln"}
    del place.refused["p2"]
    assert place.run()["done"] == 2
    assert kept(place.store.root, "p1").weights == place.published.key


def test_a_refusal_is_kept_and_not_tried_again_before_files_or_weights_change(place):
    place.refused["p1"] = HTTPException(409, "case p1 has no PET")
    assert place.run()["failed"] == {"p1": "case p1 has no PET"}
    assert place.run() == {"done": 0, "failed": {}, "described": 0}
    assert dict(place.plan().failed) == {"p1": "case p1 has no PET"}
    place.refused.clear()
    (place.store.root / "pet" / "p1.nii.gz").unlink()
    assert list(place.plan().missing) == ["p1"] and place.plan().undescribed == ("p1",)
    assert place.run()["done"] == 1


def test_what_may_pass_is_tried_again(place):
    place.refused["p1"] = HTTPException(507, "the disk is full")
    assert place.run()["failed"] == {"p1": "the disk is full"}
    assert list(place.plan().missing) == ["p1"]


def test_cases_in_work_approved_cases_and_foreign_predictions_are_left_alone(place, tmp_path):
    lease_case(place.store, "p1", "Anna", over=False)
    place.store.register_label("p2", "final", {"revision": 1})
    write(tmp_path / "mine.nii.gz", tumor())
    place.store.save_label("p3", str(tmp_path / "mine.nii.gz"), "original", {"model": "other"})

    assert place.run() == {"done": 0, "failed": {}, "described": 3}
    assert place.plan().reserved == 2
    leave_case(place.store, "p1", "Anna")
    assert place.run()["done"] == 1


def test_a_new_operating_point_of_stage_one_makes_it_anew(place):
    place.run()
    place.published.threshold = 0.4

    assert list(place.plan().missing) == ["p1", "p2", "p3"]


def test_what_was_approved_or_opened_or_predicted_by_others_meanwhile_is_left_alone(place, tmp_path):
    def others_work():
        place.store.register_label("p2", "final", {"revision": 1})
        write(tmp_path / "mine.nii.gz", tumor())
        place.store.save_label("p3", str(tmp_path / "mine.nii.gz"), "original", {"model": "other"})

    place.meanwhile["p1"] = others_work

    assert place.run()["done"] == 1
    assert place.asked == ["p1"]


def test_without_weights_the_images_are_described_all_the_same(place):
    place.published.version = None

    assert place.run() == {"done": 0, "failed": {}, "described": 3}
    assert place.asked == []


def test_a_waiting_case_is_looked_at_by_the_first_row_and_one_that_was_by_its_own(place):
    place.published.rows = led_by("osln-numbers")
    place.published.checksums = lambda row: {"ct": "1"}
    assert place.plan().missing == dict.fromkeys(("p1", "p2", "p3"), "osln-numbers")
    write(place.store.root / "found.nii.gz", tumor())
    place.store.save_label(
        "p2", str(place.store.root / "found.nii.gz"), "original", {"model": "osln", "params": {}}
    )
    assert place.plan().missing == {"p1": "osln-numbers", "p2": "osln", "p3": "osln-numbers"}


def test_what_the_server_has_found_by_itself_is_found_anew_by_another_first_row(place):
    place.published.checksums = lambda row: {"ct": "1"}
    file = place.store.root / "found.nii.gz"
    for case, info in {"p1": {BY_ITSELF: True}, "p2": {}}.items():
        write(file, tumor())
        place.store.save_label(case, str(file), "original", {"model": "osln", "params": {}} | info)
    place.published.rows = led_by("osln-numbers")
    assert place.plan().missing == {"p1": "osln-numbers", "p2": "osln", "p3": "osln-numbers"}


def test_an_option_is_refused(place):
    with pytest.raises(HTTPException) as caught:
        Evidence(place.published, PRESETS["demo"], None)({"method": "evidence", "speed": 2}, place.store)
    assert caught.value.status_code == 422 and "speed" in caught.value.detail
