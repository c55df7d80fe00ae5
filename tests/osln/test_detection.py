"""From images to candidates at known places in the patient, with networks whose answers are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from osln.detection import detect
from osln.imaging.grid import write_volume
from osln.imaging.study import Study
from osln.rows.experiments import PRESETS, ROWS, SEGMENTERS
from small.body import ball, body_hu, on_file
from small.examples import failed_and_all

SHAPE = (90, 70, 50)
AFFINE = np.array([[-4.0, 0, 0, 200.0], [0, -4.0, 0, 130.0], [0, 0, 4.0, -80.0], [0, 0, 0, 1.0]])
"""A CT stored from left to right and from back to front, finer than the networks' grid."""
TUMOR = np.array([25.0, 30.0, 100.0])
NEAR, FAR = np.array([40.0, 50.0, 80.0]), np.array([-20.0, -60.0, -50.0])
LF = ROWS["lf-stratified"]
PRESET = replace(PRESETS["demo"], spacing_mm=(6.0, 6.0, 6.0), window=(44, 32, 64))


class Network:
    """Stands in for a predictor: probability 0.9 in balls at known places, a little everywhere else."""

    def __init__(self, *centers_mm, preset=PRESET, value=0.9):
        self.centers_mm, self.preset, self.value = centers_mm, preset, value

    def probability(self, column) -> np.ndarray:
        prob = np.full(column.grid.shape, 0.05, np.float32)
        for center_mm in self.centers_mm:
            prob[ball(column.grid, center_mm, 12)] = self.value
        return prob


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(
        "p1",
        ct=on_file(body_hu, SHAPE, AFFINE),
        pet=on_file(lambda grid: 1 + 5 * ball(grid, FAR, 16), SHAPE, AFFINE),
        tumor=on_file(lambda grid: ball(grid, TUMOR, 15), SHAPE, AFFINE),
    )


def networks(**replaced):
    """Every network sees both nodes; zones decide whose word counts."""
    return {name: Network(NEAR, FAR) for name in SEGMENTERS} | replaced


def test_nodes_are_found_at_their_place_in_their_zone(study):
    found = detect(study, LF, networks(), 0.5)

    near, far = sorted(found.candidates, key=lambda candidate: -candidate.center_mm[2])
    np.testing.assert_allclose(near.center_mm, NEAR, atol=1.5)
    np.testing.assert_allclose(far.center_mm, FAR, atol=1.5)
    assert (near.zone, far.zone) == ("proximal", "distal")
    # 32 mm from the tumor's center, less its radius; the far one is more than 100 mm away.
    assert near.distance_mm == pytest.approx(np.linalg.norm(NEAR - TUMOR) - 15, abs=6)
    assert far.distance_mm == 100
    assert near.suv_max == pytest.approx(1) and far.suv_max == pytest.approx(6, abs=0.01)
    assert near.volume_mm3 == pytest.approx(38 * 6**3)
    assert near.score == pytest.approx(0.9) and found.threshold == 0.5
    assert found.prob.shape == found.labels.shape == found.column.grid.shape


def test_the_example_gives_what_it_shows(study):
    assert failed_and_all(detect, study=study, experiment=LF, networks=networks()) == (0, 2)


class Avid:
    """Stands in for a predictor: probability 0.9 where the PET is bright, however the patient is turned."""

    preset, asked = PRESET, 0

    def probability(self, column) -> np.ndarray:
        self.asked += 1
        return np.where(column.pet_suv > 3, 0.9, 0.05).astype(np.float32)


def test_a_row_with_turns_asks_each_network_for_as_many_views(study):
    avid = {name: Avid() for name in LF.segmenters}
    plain = detect(study, LF, avid, 0.5)
    turned = detect(study, ROWS["lf-turned"], avid, 0.5)

    assert [network.asked for network in avid.values()] == [1 + 4] * 4
    np.testing.assert_allclose(turned.prob, plain.prob, atol=1e-6)
    assert [one.center_mm for one in turned.candidates] == [one.center_mm for one in plain.candidates]
    assert len(plain.candidates) == 1


def test_only_the_networks_of_a_zone_find_what_lies_in_it(study):
    blind = {"ct-proximal": Network(FAR), "ef-proximal": Network(FAR), "ct-distal": Network(NEAR)}

    found = detect(study, LF, networks(**blind), 0.5)

    (only,) = found.candidates  # Of ef-distal.
    np.testing.assert_allclose(only.center_mm, FAR, atol=1.5)


def test_candidates_are_ordered_by_score_and_labels_carry_their_numbers(study):
    weak = {"ct-proximal": Network(NEAR, value=0.6), "ef-proximal": Network(NEAR, value=0.7)}

    found = detect(study, LF, networks(**weak), 0.5)

    np.testing.assert_allclose([c.score for c in found.candidates], [0.9, 0.7], rtol=1e-6)
    for candidate in found.candidates:
        index = np.round(found.column.grid.mm_to_index(candidate.center_mm)).astype(int)
        assert found.labels[tuple(index)] == candidate.id


def test_labels_on_the_ct_lie_there_for_an_independent_reader(study, tmp_path):
    found = detect(study, LF, networks(), 0.5)

    labels = found.labels_on_ct(study)
    write_volume(tmp_path / "nodes.nii.gz", labels, study.ct.grid, study.ct.file_grid)

    image = sitk.ReadImage(str(tmp_path / "nodes.nii.gz"))
    stats = sitk.LabelShapeStatisticsImageFilter()
    stats.Execute(image)
    assert image.GetSize() == SHAPE and labels.dtype == np.int32
    np.testing.assert_allclose(image.GetOrigin(), (-200, -130, -80), atol=1e-4)
    for candidate in found.candidates:
        left, posterior, superior = stats.GetCentroid(candidate.id)
        np.testing.assert_allclose((-left, -posterior, superior), candidate.center_mm, atol=1.5)
        assert stats.GetPhysicalSize(candidate.id) == pytest.approx(candidate.volume_mm3, rel=0.05)


def test_nothing_found_is_an_empty_list_and_an_empty_map(study):
    found = detect(study, LF, networks(), 0.95)

    assert found.candidates == [] and not found.labels_on_ct(study).any()
    assert found.to_json()["candidates"] == []


def test_the_result_is_plain_json(study):
    found = detect(study, LF, networks(), 0.5)

    told = json.loads(json.dumps(found.to_json(), allow_nan=False))

    assert told["experiment"] == "lf-stratified" and told["threshold"] == 0.5 and told["warnings"] == []
    assert [c["id"] for c in told["candidates"]] == [1, 2]
    assert {c["zone"] for c in told["candidates"]} == {"proximal", "distal"}
    assert list(told["seconds"]) == ["prepare", *LF.segmenters, "candidates"]
    assert all(seconds >= 0 for seconds in told["seconds"].values())


def test_a_ct_alone_is_enough_for_the_row_that_needs_no_more(study):
    found = detect(Study("p1", study.ct), ROWS["ct"], {"ct": Network(NEAR)}, 0.5)

    (only,) = json.loads(json.dumps(found.to_json(), allow_nan=False))["candidates"]
    assert (only["zone"], only["distance_mm"], only["suv_max"], only["suv_mean"]) == (None,) * 4


def test_a_missing_pet_is_told_with_the_way_out(study):
    with pytest.raises(
        ValueError, match=r"p1 has no PET, which lf-stratified needs: put pet/p1.nii.gz .*or use ct-str"
    ):
        detect(replace(study, pet=None), LF, networks(), 0.5)
    detect(replace(study, pet=None), ROWS["ct-stratified"], networks(), 0.5)


def test_a_missing_tumor_is_told_with_the_way_out(study):
    with pytest.raises(
        ValueError, match="p1 has no tumor contour, which ct-stratified needs: draw a segment"
    ):
        detect(replace(study, tumor=None), ROWS["ct-stratified"], networks(), 0.5)


def test_missing_networks_are_named(study):
    with pytest.raises(
        ValueError, match="experiment lf-stratified needs the networks ef-proximal, ct-distal"
    ):
        detect(study, LF, {"ct-proximal": Network(), "ef-distal": Network()}, 0.5)


def test_networks_of_two_presets_are_refused(study):
    mixed = networks(**{"ef-distal": Network(preset=PRESETS["paper"])})

    with pytest.raises(
        ValueError,
        match="mixes networks of the presets demo, paper, which have other voxels; train all",
    ):
        detect(study, LF, mixed, 0.5)


def test_networks_of_other_widths_on_the_same_voxels_answer_together(study):
    mixed = networks(
        **{"ef-distal": Network(preset=replace(PRESET, name="wide", widths=PRESETS["wide"].widths))}
    )
    alike = detect(study, LF, networks(), 0.5)
    assert alike.candidates and detect(study, LF, mixed, 0.5).candidates == alike.candidates


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_thresholds_that_are_none_are_refused(study, threshold):
    with pytest.raises(ValueError, match="the threshold must lie between 0 and 1"):
        detect(study, LF, networks(), threshold)


def test_networks_that_learned_with_and_without_the_filter_are_not_mixed(study):
    mixed = networks(**{"ef-distal": Network(preset=replace(PRESET, prefilter=True))})
    with pytest.raises(ValueError, match="mixes networks of the presets demo, demo with a prefilter"):
        detect(study, LF, mixed, 0.5)


def test_a_candidate_centered_in_the_tumor_is_dropped_by_the_row_that_says_so(study):
    inside = {name: Network(TUMOR, NEAR, FAR) for name in SEGMENTERS}
    assert len(detect(study, LF, inside, 0.5).candidates) == 3
    found = detect(study, ROWS["lf-outside"], inside, 0.5)
    assert len(found.candidates) == 2 and all(one.distance_mm > 0 for one in found.candidates)
