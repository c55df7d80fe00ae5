"""What is said when images do not come (`lib/ohif/images.js`), run by Node.js."""

import json

import pytest

from small.ohif_scripts import run

CT = {"Modality": "CT", "isReconstructable": True}


@pytest.mark.parametrize(
    ("reply", "sets", "said"),
    [
        (None, [], "The server does not answer"),
        ({"status": 404, "text": '{"detail": "no such study"}'}, [], "of this study: no such study. Choose"),
        ({"status": 502, "text": "<html>"}, [], "it answered with status 502"),
        ({"status": 422, "text": '{"detail": [{"msg": "x"}]}'}, [], "it answered with status 422"),
        ({"status": 200, "text": "[]"}, [{"Modality": "PT"}], "This study has no CT"),
        ({"status": 200, "text": "[]"}, [{"Modality": "CT", "isReconstructable": False}], "is no volume"),
    ],
)
def test_study_without_pictures_is_explained(reply, sets, said):
    assert said in run("images", f"return nothingText({json.dumps(reply)}, {json.dumps(sets)})")


@pytest.mark.parametrize("sets", [[], [CT], [{"Modality": "PT"}, CT]])
def test_images_that_may_still_come_are_waited_for(sets):
    reply = {"status": 200, "text": "[]"}

    assert run("images", f"return nothingText({json.dumps(reply)}, {json.dumps(sets)})") is None


def test_viewer_that_shows_nothing_is_not_waited_for_in_silence():
    assert run("images", "return lateText(60)").startswith("Nothing is shown after 60 s")


def test_lost_images_are_counted():
    assert run("images", "return lostText(1)").startswith("One image did not arrive: what is shown has gaps.")
    said = run("images", "return lostText(12, { status: 502 })")
    assert said.startswith("12 images did not arrive (status 502)")
