"""Who scores the candidates of a row, with every tagger and without."""

from pathlib import Path

import pytest

from osln.stage_two.answering import FALLBACK, answering, reason_not_trainable
from osln.weights.model_store import Version

TAGGER = {"name": "LesaNet", "origin": "phantom", "sha256": "ab" * 32, "trained_on": "phantom 1"}
OTHER = TAGGER | {"sha256": "cd" * 32, "origin": "public LesaNet"}


def version(network: str, tagger: dict[str, str] | None = None) -> Version:
    return Version(network, "v1", Path("v1.pt"), "0" * 64, "phantom", {"tagger": tagger} if tagger else {})


BOTH = {"glnet": version("glnet", TAGGER), FALLBACK: version(FALLBACK)}


def test_a_network_answers_itself_with_the_tagger_that_it_learned_from():
    found = answering("glnet", BOTH, TAGGER)
    assert (found.classifier, found.reason, found.ready, found.warnings) == ("glnet", None, True, [])


@pytest.mark.parametrize("tagger", [None, TAGGER, OTHER])
def test_a_network_that_reads_no_tags_answers_itself_whatever_the_tagger(tagger):
    found = answering("local-ct", {"local-ct": version("local-ct")}, tagger)
    assert (found.classifier, found.reason, found.ready) == ("local-ct", None, True)
    assert not answering("local-ct", {}, tagger).ready


@pytest.mark.parametrize(
    ("versions", "tagger", "reason"),
    [
        (BOTH, None, "glnet reads tags and there is no tagger: "),
        (
            BOTH,
            OTHER,
            "glnet was trained with the tags of LesaNet (phantom, trained on phantom 1, abababababab)",
        ),
        ({FALLBACK: version(FALLBACK)}, TAGGER, "there are no weights for glnet: train it (trainer glnet)"),
    ],
)
def test_where_tags_cannot_be_used_the_network_without_them_stands_in_and_says_so(versions, tagger, reason):
    found = answering("glnet", versions, tagger)
    assert found.classifier == FALLBACK and found.ready
    (warning,) = found.warnings
    assert warning.startswith(reason) and warning.endswith("; until then local-ct-pet scores the candidates")


def test_without_weights_the_candidates_have_stage_one_s_own_score_and_it_is_told_why():
    found = answering("glnet", {"glnet": version("glnet", TAGGER)}, OTHER)
    assert found.classifier == FALLBACK and not found.ready
    (warning,) = found.warnings
    assert warning.startswith("glnet was trained with the tags of") and warning.endswith(
        "; there are no weights for local-ct-pet: train it (trainer local-ct-pet)"
        "; until then the candidates have stage one's own score"
    )
    assert answering("local-ct", {}, None).warnings == [
        "there are no weights for local-ct: train it (trainer local-ct); until then the candidates have "
        "stage one's own score"
    ]


def test_what_was_found_to_be_worse_than_none_does_not_answer():
    worse = {"glnet": "stage one alone finds more", "tag": "of no matter"}
    found = answering("glnet", BOTH, TAGGER, worse)
    assert not found.ready
    assert found.warnings == [
        "stage one alone finds more; until then the candidates have stage one's own score"
    ]
    assert answering(FALLBACK, BOTH, TAGGER, worse).warnings == []
    # Without its tagger another one answers, of which nothing is said.
    assert answering("glnet", BOTH, None, worse).ready


def test_without_a_tagger_a_training_is_told_where_to_name_one_and_what_needs_none():
    told = reason_not_trainable("glnet")
    assert told.startswith("glnet reads tags and there is no tagger: ") and "--tagger PATH" in told
    assert told.endswith("or train local-ct-pet, without them")
