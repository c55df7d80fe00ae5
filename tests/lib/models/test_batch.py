import pytest
from fastapi import HTTPException
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

from lib.models.batch import Batch

STOCK_BODY = {
    "device": "cuda",
    "multi_gpu": True,
    "gpus": "all",
    "logging": "WARNING",
    "save_label": True,
    "label_tag": "original",
    "max_workers": 1,
    "max_batch_size": 0,
}
"""What `/batch/infer` sends if the client sends nothing."""


class Store:
    """Three cases, of which one has an approved label."""

    def list_images(self) -> list[str]:
        return ["c", "a", "b"]

    def get_labeled_images(self) -> list[str]:
        return ["b"]

    def get_unlabeled_images(self) -> list[str]:
        return ["c", "a"]


class Infer:
    """Finds two candidates and keeps one, unless the case is a bad one; remembers what it was asked."""

    def __init__(self, folder, bad=None) -> None:
        self.folder = folder
        self.bad = bad or {}
        self.requests = []

    def __call__(self, request, datastore):
        self.requests.append(request)
        if request["image"] in self.bad:
            raise self.bad[request["image"]]
        file = self.folder / f"{request['image']}.nii.gz"
        file.touch()
        params = {"candidates": [{"kept": True}, {"kept": False}], "warnings": []}
        return {"file": str(file), "label": request["image"], "tag": "original", "params": params}


def test_the_stock_body_runs_on_a_computer_without_gpu(tmp_path):
    infer = Infer(tmp_path)
    report = Batch(("cpu",))(
        {"model": "ct", "images": BatchInferImageType.IMAGES_ALL, **STOCK_BODY}, Store(), infer
    )
    assert list(report) == ["a", "b", "c"]
    assert {entry["status"] for entry in report.values()} == {"done"}
    assert (report["a"]["candidates"], report["a"]["kept"]) == (2, 1)
    assert report["a"]["label"] == "a"
    assert infer.requests[0] == {"model": "ct", "image": "a", "device": "cpu", "save_label": True}
    assert list(tmp_path.iterdir()) == [], "temporary label maps are deleted once they are stored"


def test_a_bad_case_is_reported_and_the_others_are_done(tmp_path):
    bad = {"a": HTTPException(422, "case a has no PET: use ct"), "b": RuntimeError("broken")}
    report = Batch(("cpu",))({"model": "osln"}, Store(), Infer(tmp_path, bad))
    assert report["a"] == {"status": "failed", "error": "case a has no PET: use ct"}
    assert report["b"] == {"status": "failed", "error": "RuntimeError: broken"}
    assert report["c"]["status"] == "done"


def test_a_case_whose_files_change_meanwhile_is_searched_once_more_and_not_for_ever(tmp_path):
    changed = HTTPException(409, "the CT, PET or tumor of case a changed")
    tries = [changed, None, changed, changed, changed]
    inner = Infer(tmp_path)

    def infer(request, datastore):
        if error := tries.pop(0):
            raise error
        return inner(request, datastore)

    report = Batch(("cpu",))({"model": "osln", "images": ["a", "b"]}, Store(), infer)
    assert report["a"]["status"] == "done" and report["b"]["error"] == changed.detail
    assert tries == [changed]


@pytest.mark.parametrize(("images", "cases"), [("all", "abc"), ("labeled", "b"), ("unlabeled", "ac")])
def test_images_can_be_all_the_labeled_or_the_unlabeled(tmp_path, images, cases):
    assert list(Batch(("cpu",))({"model": "ct", "images": images}, Store(), Infer(tmp_path))) == list(cases)


def test_a_list_of_cases_and_a_limit_can_be_given(tmp_path):
    batch = Batch(("cpu",))
    assert list(batch({"images": ["c", "a"]}, Store(), Infer(tmp_path))) == ["c", "a"]
    assert list(batch({"images": "all", "max_batch_size": 2}, Store(), Infer(tmp_path))) == ["a", "b"]


def test_options_of_the_row_are_handed_on(tmp_path):
    infer = Infer(tmp_path)
    chosen = {"operating_point": "1 FP per patient", "score": 0.4, "show_rejected": True, "device": "cpu"}
    Batch(("cuda", "cpu"))({"model": "osln", **chosen}, Store(), infer)
    assert infer.requests[0] == {"model": "osln", "image": "a", "save_label": True, **chosen}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"images": ["nobody"]}, "these cases are not in the store: nobody"),
        ({"device": "tpu"}, "device is one of cpu"),
        ({"label_tag": "final"}, "label_tag is one of original"),
        ({"max_batch_size": -1}, "max_batch_size is a whole number"),
        ({"train_ds": "/etc/passwd"}, "unknown option train_ds"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_runs(tmp_path, request_, sentence):
    infer = Infer(tmp_path)
    with pytest.raises(HTTPException) as caught:
        Batch(("cpu",))({"model": "ct", **request_}, Store(), infer)
    assert caught.value.status_code == 422 and sentence in caught.value.detail
    assert infer.requests == []
