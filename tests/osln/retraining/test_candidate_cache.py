import os

import numpy as np
import pytest

from osln.retraining.candidate_cache import Asked, CandidateCache
from osln.rows.experiments import PRESETS
from osln.stage_two.candidate_sets import load_set
from osln.store import layout
from osln.weights.model_store import ModelStore
from small.meanwhile import meanwhile
from small.parts import submit_in_part
from small.store import untrained
from small.studies import (
    BrightnessTags,
    FindsBright,
    add_case,
    publish_stage_one,
    published,
    use_tiny_networks,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny_networks(monkeypatch)


@pytest.fixture
def store(tmp_path):
    models = ModelStore(tmp_path / "models")
    publish_stage_one(models)
    return models


@pytest.fixture
def root(tmp_path):
    """Patient d with four bright balls, of which the annotator has deleted the second."""
    add_case(tmp_path / "studies", "d", deleted=(2,))
    return tmp_path / "studies"


def cache_of(root, store, tagger=None, row="lf-stratified", **options) -> CandidateCache:
    return CandidateCache(root, store, row, PRESETS["demo"], tagger, **options)


def asked_of(cache, *, add_nodes=True) -> Asked:
    return Asked(cache.in_use(), add_nodes)


def files(root):
    return sorted(path.name for path in (root / ".osln" / ".candidates").rglob("*.np*"))


def test_what_the_annotator_deleted_is_a_false_candidate_and_true_nodes_are_added(root, store):
    cache = cache_of(root, store)
    content, tags = cache.get("d", asked_of(cache))
    # By falling probability from the top of the column: balls 4, 3, 2, 1, then the three approved nodes.
    assert content.truth.tolist() == [1, 1, 0, 1, 1, 1, 1] and content.n_candidates == 4 and tags is None
    content, _ = cache.get("d", asked_of(cache, add_nodes=False))
    assert content.truth.tolist() == [1, 1, 0, 1]


def test_a_set_is_made_once_and_read_afterwards(root, store):
    cache = cache_of(root, store)
    asked = asked_of(cache)
    assert not cache.has("d", asked)
    first, _ = cache.get("d", asked)
    assert len(FindsBright.asked) == 4 and cache.has("d", asked)
    again, _ = cache_of(root, store).get("d", asked)
    assert len(FindsBright.asked) == 4
    np.testing.assert_array_equal(first.patches.ct_hu, again.patches.ct_hu)


def resubmit(root, store):
    add_case(root, "d", deleted=(1,))


def test_what_is_made_of_a_label_that_came_meanwhile_is_kept_as_that_one_s(root, store, monkeypatch):
    former = (root / "labels" / "final" / "d.nii.gz").read_bytes()
    meanwhile(monkeypatch, layout, "build_study", lambda: resubmit(root, store))
    cache = cache_of(root, store)
    # Balls 4, 3, 2 and 1; the annotator has now deleted the first.
    content, _ = cache.get("d", asked_of(cache, add_nodes=False))
    assert content.truth.tolist() == [1, 1, 1, 0] and cache.has("d", asked_of(cache, add_nodes=False))
    (root / "labels" / "final" / "d.nii.gz").write_bytes(former)
    content, _ = cache.get("d", asked_of(cache, add_nodes=False))
    assert content.truth.tolist() == [1, 1, 0, 1]


def publish_another(root, store):
    published(store, untrained("ef-distal", seed=1))


def move_the_operating_point(root, store):
    store.set_thresholds("lf-stratified", {"0.15": 0.6})


def rewrite_the_pet(root, store):
    os.utime(root / "pet" / "d.nii.gz", (1, 1))


@pytest.mark.parametrize("change", [resubmit, publish_another, move_the_operating_point, rewrite_the_pet])
def test_a_change_of_label_weights_operating_point_or_image_makes_it_anew(root, store, change):
    cache = cache_of(root, store)
    cache.get("d", asked_of(cache))
    before = files(root)
    change(root, store)
    cache = cache_of(root, store)
    cache.get("d", asked_of(cache))
    assert len(FindsBright.asked) == 8
    assert len(files(root)) == 1 and files(root) != before, "the stale file is removed"


def test_what_two_second_stages_are_handed_by_two_fusions_lies_beside_each_other(root, store):
    store.set_thresholds("lf-stratified", {"0.15": 0.6})
    store.set_thresholds("gated-mean", {"0.15": 0.3})
    few, more = cache_of(root, store, row="osln"), cache_of(root, store, row="osln-set-glnet")
    assert (few.threshold, more.threshold) == (0.6, 0.3)
    for cache in (few, more, few, more):
        cache.get("d", asked_of(cache))
    assert len(FindsBright.asked) == 4 + 3 and len(files(root)) == 2, "each was made once"


def test_sets_of_what_no_row_hands_over_any_more_go(root, store):
    cache = cache_of(root, store, row="osln-set-glnet")
    cache.get("d", asked_of(cache))
    (kept,) = files(root)
    for former in ("0123456789abcdef-of-lf-mean.npz", "0123456789abcdef-of-lf-3ef-mean-tags-eeee.npy"):
        (cache.folder / "d" / former).write_bytes(b"of former software")
    assert len(files(root)) == 3
    cache.get("d", asked_of(cache))
    assert files(root) == [kept]


def test_tags_lie_beside_the_set_and_belong_to_their_tagger(root, store):
    tagger = BrightnessTags()
    cache = cache_of(root, store, tagger)
    _, tags = cache.get("d", asked_of(cache))
    assert tags.shape == (7, 171) and tags.dtype == np.float32
    np.testing.assert_allclose(tags, 0.6, err_msg="every ball has 60 HU")
    cache.get("d", asked_of(cache))
    assert tagger.asked == 1 and len(files(root)) == 2

    other = BrightnessTags("e" * 64)
    cache = cache_of(root, store, other)
    assert not cache.has("d", asked_of(cache))
    cache.get("d", asked_of(cache))
    assert other.asked == 1 and len(FindsBright.asked) == 4, "the candidates are the same"
    assert len(files(root)) == 2 and any("-tags-eeee" in name for name in files(root))
    without = cache_of(root, store)
    without.get("d", asked_of(without))
    assert len(files(root)) == 2, "a network that reads no tags leaves them"


def test_overlaps_lie_beside_the_set_for_the_network_that_learns_from_them(root, store):
    cache = cache_of(root, store)
    content, _ = cache.get("d", asked_of(cache))
    before = {path: path.read_bytes() for path in (root / ".osln" / ".candidates").rglob("*.npz")}
    assert content.iou is None and len(files(root)) == 1

    cache = cache_of(root, store, overlaps=True)
    assert not cache.has("d", asked_of(cache))
    content, _ = cache.get("d", asked_of(cache))
    # Every ball is found as it is; the third by its probability is the one that was deleted.
    assert content.iou.tolist() == [1, 1, 0, 1, 1, 1, 1]
    assert cache.has("d", asked_of(cache)) and len(files(root)) == 2 and len(FindsBright.asked) == 8
    assert {path: path.read_bytes() for path in before} == before

    again, _ = cache.get("d", asked_of(cache))
    assert again.iou.tolist() == content.iou.tolist() and len(FindsBright.asked) == 8
    cache_of(root, store).get("d", asked_of(cache))
    assert len(files(root)) == 2, "a network that does not learn from them leaves them"


def test_damaged_files_are_made_anew(root, store):
    cache = cache_of(root, store, BrightnessTags())
    cache.get("d", asked_of(cache))
    for path in (root / ".osln" / ".candidates" / "d").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    _, tags = cache.get("d", asked_of(cache))
    assert tags.shape == (7, 171)
    cache_of(root, store, overlaps=True).get("d", asked_of(cache))
    for path in (root / ".osln" / ".candidates" / "d").glob("*-iou.npy"):
        path.write_bytes(b"")
    assert cache_of(root, store, overlaps=True).get("d", asked_of(cache))[0].iou.shape == (7,)
    assert [load_set(path).case for path in (root / ".osln" / ".candidates").rglob("*.npz")] == ["d"]


@pytest.mark.parametrize("name", ["*.npz", "*-iou.npy", "*-tags-*.npy"])
def test_a_flipped_bit_or_a_stretch_of_zeros_makes_a_file_anew(root, store, name):
    cache = cache_of(root, store, BrightnessTags(), overlaps=True)
    content, tags = cache.get("d", asked_of(cache))
    (path,) = (root / ".osln" / ".candidates" / "d").glob(name)
    whole = path.read_bytes()
    flipped = whole[:-80] + bytes([whole[-80] ^ 1]) + whole[-79:]
    for damaged in (flipped, whole[:-100] + bytes(20) + whole[-80:], b"PK\x03\x04" + bytes(60)):
        path.write_bytes(damaged)
        again, told = cache.get("d", asked_of(cache))
        assert again.iou.tolist() == content.iou.tolist() and told.tolist() == tags.tolist()
        assert np.array_equal(again.patches.ct_hu, content.patches.ct_hu)
        assert path.read_bytes() == whole


def test_what_somebody_else_is_writing_is_left_alone(root, store):
    cache = cache_of(root, store)
    cache.get("d", asked_of(cache))
    (made,) = (root / ".osln" / ".candidates" / "d").glob("*.npz")
    others = made.with_name(f".0123456789.{made.name.split('.', 1)[1]}.half"), made.with_name("0123.npz")
    for other in others:
        other.write_bytes(b"")
    cache.get("d", asked_of(cache))
    assert [other.exists() for other in others] == [True, False]


def test_several_cases_are_collected_with_reasons_and_words(root, store):
    add_case(root, "f", pet=False)
    cache = cache_of(root, store, BrightnessTags())
    asked, said = asked_of(cache), []
    sets, tags, skipped = cache.collect({"d": asked, "f": asked}, said.append)
    assert [one.case for one in sets] == ["d"] and len(tags) == 1
    assert "no PET" in skipped["f"]
    assert said == ["looking for the candidates of d (1 of 2)", "looking for the candidates of f (2 of 2)"]
    said.clear()
    cache.collect({"d": asked}, said.append)
    assert said == []


def test_what_is_kept_of_cases_that_are_gone_is_removed(root, store):
    cache = cache_of(root, store)
    cache.keep_only([])
    cache.get("d", asked_of(cache))
    cache.keep_only(["d", "e"])
    assert len(files(root)) == 1
    cache.keep_only(["e"])
    assert files(root) == []


def test_each_patient_is_asked_of_its_own_versions(root, store, monkeypatch):
    earlier = store.published("ct-distal")
    published(store, untrained("ct-distal", seed=3))
    loaded, load = [], store.load
    monkeypatch.setattr(store, "load", lambda name, one=None: loaded.append(one.name) or load(name, one))
    cache = cache_of(root, store)
    current = asked_of(cache)
    cache.get("d", Asked({**current.versions, "ct-distal": earlier}, add_nodes=False))
    assert earlier.name in loaded and current.versions["ct-distal"].name not in loaded


def test_stage_one_without_weights_is_an_error_in_words(root, tmp_path):
    with pytest.raises(ValueError, match="no weights for ct-proximal"):
        cache_of(root, ModelStore(tmp_path / "none")).in_use()


def test_a_set_says_whether_its_case_is_in_part_also_one_that_was_kept(root, store):
    cache = cache_of(root, store)
    asked = asked_of(cache)
    assert [cache.get("d", asked)[0].partial for _ in range(2)] == [False, False]
    submit_in_part(root, "d")
    assert [cache.get("d", asked)[0].partial for _ in range(2)] == [True, True]


def test_cases_that_cannot_be_used_do_not_count_among_the_most_that_are_wanted(root, store):
    for case in "fgh":
        add_case(root, case, pet=case != "f")
    cache = cache_of(root, store)
    wanted = dict.fromkeys("fdgh", asked_of(cache))
    sets, _, skipped = cache.collect(wanted, most=2)
    assert [one.case for one in sets] == ["d", "g"] and set(skipped) == {"f"}
