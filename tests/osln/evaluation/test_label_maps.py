from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osln.evaluation.label_maps import MapFolders, case_files, map_cohort
from osln.imaging.grid import Grid, write_volume
from osln.metrics.criteria import CRITERIA, PAPER

SHAPE = (12, 6, 5)


def grid(spacing: float = 1.0, shape=SHAPE) -> Grid:
    return Grid(shape, np.diag([spacing, spacing, spacing, 1.0]))


def rows(*runs: tuple[int, int, float], dtype=np.uint8) -> np.ndarray:
    """A map with values along one row, from (first voxel, number of voxels, value)."""
    array = np.zeros(SHAPE, dtype=dtype)
    for start, count, value in runs:
        array[start : start + count, 2, 2] = value
    return array


@pytest.fixture
def write(tmp_path):
    """Writes a folder of images, one for each case, and returns it."""

    def write_folder(name: str, on: Grid | None = None, **arrays: np.ndarray) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for case, array in arrays.items():
            write_volume(folder / f"{case}.nii.gz", array, on or grid())
        return folder

    return write_folder


@pytest.fixture
def two(write):
    """Case a: a hit, a second on the same node, one false. Case b: nothing predicted, one node."""
    predictions = write("predictions", a=rows((0, 2, 1), (3, 2, 4), (10, 1, 9)), b=rows())
    truth = write("truth", a=rows((0, 5, 3)), b=rows((2, 2, 1)))
    (predictions / "scores.csv").write_text("case,label,score\na,1,0.5\na,4,0.75\na,9,0.25\n")
    return MapFolders(predictions, truth)


def test_label_maps_with_scores_beside_them_score_by_hand(two):
    cohort = map_cohort(two, PAPER)
    assert cohort.scored["a"].scores.tolist() == [0.75, 0.25]
    assert cohort.scored["a"].hits.tolist() == [True, False]
    assert len(cohort.scored["b"].scores) == 0 and cohort.scored["b"].n_nodes == 1
    assert cohort.neither == {"a": 1, "b": 0} and cohort.sweeps is None
    strict = map_cohort(two, CRITERIA["one-to-one"])
    assert sorted(strict.scored["a"].scores.tolist()) == [0.25, 0.5, 0.75]


def test_cases_in_part_are_left_out_and_told(two):
    cohort = map_cohort(replace(two, in_part=["a", "z"]), PAPER)
    assert list(cohort.scored) == ["b"]
    assert cohort.left_out == ["cases that were submitted in part: a; complete their review"]
    with pytest.raises(ValueError, match="every case was submitted in part"):
        map_cohort(replace(two, in_part=["a", "b"]), PAPER)


def test_scores_may_be_json_and_named(two, tmp_path):
    (two.predictions / "scores.csv").unlink()
    path = tmp_path / "my.json"
    path.write_text('{"a": {"1": 0.1, "4": 0.2, "9": 0.3}}')
    cohort = map_cohort(MapFolders(two.predictions, two.truth, scores=path), PAPER)
    assert cohort.scored["a"].scores.tolist() == [0.2, 0.3]


def test_scores_that_a_stopped_run_has_not_gathered_are_those_of_its_results(two):
    (two.predictions / "scores.csv").unlink()
    folders = replace(two, results={"a": {1: 0.5, 4: 0.75, 9: 0.25}, "b": {}})
    gathered = two.predictions / "scores.json"
    for content in (None, "{}", '{"a": {"1": 0.5, "4": 0.75, "9": 0.25}}'):
        if content is not None:
            gathered.write_text(content)
        cohort = map_cohort(folders, PAPER)
        assert cohort.scored["a"].scores.tolist() == [0.75, 0.25]
        told = any("scores.json lacks 1 cases (a): the results" in note for note in cohort.notes)
        assert told == (content in (None, "{}"))
    gathered.write_text('{"a": {"1": 0.5, "4": 0.75, "9": 0.5}}')
    with pytest.raises(ValueError, match=r"other scores of case a than its result a\.json"):
        map_cohort(folders, PAPER)
    # What a person names or writes as a table is meant.
    assert map_cohort(replace(folders, scores=gathered), PAPER).scored["a"].scores.tolist() == [0.75, 0.5]
    gathered.unlink()
    (two.predictions / "scores.csv").write_text("case,label,score\na,1,0.5\na,4,0.75\na,9,0.125\n")
    assert map_cohort(folders, PAPER).scored["a"].scores.tolist() == [0.75, 0.125]


def test_label_maps_of_every_candidate_and_of_what_was_kept_are_not_judged_together(two):
    with pytest.raises(ValueError, match=r"case a shows every candidate, those of 1 other cases \(b\) what"):
        map_cohort(replace(two, results={"a": {1: 0.5, 4: 0.75, 9: 0.25}, "b": None, "z": None}), PAPER)
    assert map_cohort(replace(two, results={"a": None, "b": None}), PAPER).scored["a"].scores.tolist() == [
        0.75, 0.25
    ]  # fmt: skip


def test_without_scores_all_predictions_count_alike_and_a_note_says_so(two):
    (two.predictions / "scores.csv").unlink()
    cohort = map_cohort(two, PAPER)
    assert cohort.scored["a"].scores.tolist() == [1, 1] and "all predictions count alike" in cohort.notes[0]


def test_the_mean_probability_inside_a_label_is_its_score(two, write):
    maps = write("maps", a=rows((0, 1, 0.2), (1, 1, 0.4), (3, 2, 0.1), (10, 1, 0.9), dtype=np.float32))
    write("maps", b=rows(dtype=np.float32))
    cohort = map_cohort(MapFolders(two.predictions, two.truth, probabilities=maps), PAPER)
    assert cohort.scored["a"].scores.tolist() == pytest.approx([0.3, 0.9])


def test_probability_maps_are_cut_into_components_and_swept(write):
    prob = rows((0, 3, 0.75), (8, 1, 0.5), (10, 1, 0.25), dtype=np.float32)
    folders = MapFolders(write("maps", a=prob), write("truth", a=rows((1, 3, 1))), level=0.5)
    cohort = map_cohort(folders, PAPER)
    assert cohort.scored["a"].scores.tolist() == [0.75, 0.5]
    assert cohort.scored["a"].hits.tolist() == [True, False]
    found = cohort.sweeps["a"]
    assert found.false_predictions[0] == 2 and found.hit_nodes[0] == 1 and found.n_nodes == 1


def test_a_truth_mask_can_be_split_into_its_parts(write):
    folders = MapFolders(
        write("predictions", a=rows((0, 3, 1))), write("truth", a=rows((0, 3, 1), (6, 3, 1)))
    )
    for value in (1, 255):
        mask = replace(folders, truth=write(f"truth-{value}", a=rows((0, 3, value), (6, 3, value))))
        with pytest.raises(ValueError, match=r"truth of 1 of 1 cases .* several parts \(a\): --split-truth"):
            map_cohort(mask, PAPER)
    whole = map_cohort(replace(folders, whole_truth=True), PAPER)
    assert whole.scored["a"].n_nodes == 1
    parts = map_cohort(replace(folders, split_truth=True), PAPER)
    assert parts.scored["a"].n_nodes == 2 and parts.scored["a"].hits.tolist() == [True]
    # One part is one node without a word.
    one = map_cohort(replace(folders, truth=write("one", a=rows((0, 3, 1)))), PAPER)
    assert one.scored["a"].n_nodes == 1 and "truth" not in " ".join(one.notes)


def test_a_prediction_map_of_one_value_is_parted_and_the_report_says_so(write):
    predictions = write("binary", a=rows((0, 2, 1), (4, 2, 1), (9, 2, 1)), b=rows((0, 2, 1)), c=rows())
    truth = write("truth", a=rows((0, 2, 1), (4, 2, 2)), b=rows((0, 2, 1)), c=rows())
    cohort = map_cohort(MapFolders(predictions, truth), PAPER)
    assert sorted(cohort.scored["a"].hits.tolist()) == [False, True, True]
    assert any("1 of 3 predictions hold one value in several parts" in note for note in cohort.notes)
    whole = map_cohort(MapFolders(predictions, truth, whole_predictions=True), PAPER)
    # Six voxels in one prediction, nodes of two: the radius is too large by the third root of 3.
    assert len(whole.scored["a"].scores) <= 2 and not any("several parts" in note for note in whole.notes)


def test_values_that_have_scores_are_not_parted(write):
    predictions = write("scored", a=rows((0, 2, 1), (4, 2, 1)))
    (predictions / "scores.csv").write_text("case,label,score\na,1,0.5\n")
    truth = write("truth", a=rows((0, 2, 1), (4, 2, 2)))
    cohort = map_cohort(MapFolders(predictions, truth), PAPER)
    # Four voxels in two places: the radius of one of two fits both nodes (2^(1/3) is below 1.5).
    assert cohort.scored["a"].scores.tolist() == [0.5, 0.5] and cohort.scored["a"].hits.all()
    assert not any("several parts" in note for note in cohort.notes)


def test_predictions_on_ignored_findings_are_neither(two, write):
    ignored = write("ignored", a=rows((10, 2, 1)))
    cohort = map_cohort(MapFolders(two.predictions, two.truth, ignored=ignored), PAPER)
    assert cohort.scored["a"].hits.tolist() == [True] and cohort.neither["a"] == 2


def test_the_order_of_a_files_axes_does_not_matter(two, write):
    cohort = map_cohort(two, PAPER)
    flipped = Grid(SHAPE, np.array([[-1.0, 0, 0, 11], [0, -1, 0, 5], [0, 0, 1, 0], [0, 0, 0, 1]]))
    write("predictions", flipped, a=rows((0, 2, 1), (3, 2, 4), (10, 1, 9))[::-1, ::-1], b=rows()[::-1, ::-1])
    turned = map_cohort(two, PAPER)
    assert turned.scored["a"].scores.tolist() == cohort.scored["a"].scores.tolist()
    assert turned.scored["a"].hits.tolist() == cohort.scored["a"].hits.tolist()


def test_folders_with_other_cases_are_refused_or_left_out_and_told(two, write):
    write("truth", c=rows((0, 1, 1)))
    write("predictions", d=rows())
    with pytest.raises(
        ValueError, match=r"cases of \S*predictions that \S*truth lacks: d \(1 of 3\); cases of"
    ):
        map_cohort(two, PAPER)
    cohort = map_cohort(MapFolders(two.predictions, two.truth, only_common=True), PAPER)
    assert list(cohort.scored) == ["a", "b"] and len(cohort.left_out) == 2
    assert "d (1 of 3), with their predictions, all false ones where there is no node" in cohort.left_out[0]
    assert "c (1 of 3), with their nodes, all missed ones where nothing was" in cohort.left_out[1]


def test_folders_without_a_common_case_are_refused(write):
    folders = MapFolders(write("p", a=rows()), write("t", b=rows()), only_common=True)
    with pytest.raises(ValueError, match="no case in common"):
        map_cohort(folders, PAPER)


def test_grids_that_differ_are_refused_with_both(two, write):
    write("predictions", grid(2.0), a=rows((0, 2, 1)))
    with pytest.raises(ValueError, match=r"case a: the prediction lies on another grid than the truth"):
        map_cohort(two, PAPER)


def test_empty_truth_and_empty_predictions_have_documented_values(write):
    empty = map_cohort(MapFolders(write("p", a=rows()), write("t", a=rows())), PAPER)
    assert empty.scored["a"].n_nodes == 0 and len(empty.scored["a"].scores) == 0


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ("case,label,score\na,1,0.5\na,4,0.7\n", r"case a: labels without a score: \[9\]"),
        ("case,label,score\na,1,0.5\na,4,0.7\na,9,0.1\na,5,0.1\n", r"scores without a label: \[5\]"),
        ("case,label,score\na,1,0.5\na,1,0.7\n", "label 1 of case a has two scores"),
        ("case,label,score\na,1,nan\n", "line 2: score is 'nan'"),
        ("case,label,score\nx,1,0.5\n", "scores of cases without a label map: x"),
        ("case,number,score\na,1,0.5\n", "no column for label"),
    ],
)
def test_scores_that_do_not_belong_to_the_maps_are_refused(two, scores, words):
    (two.predictions / "scores.csv").write_text(scores)
    with pytest.raises(ValueError, match=words):
        map_cohort(two, PAPER)


def test_images_that_are_no_label_maps_or_probabilities_are_refused(two, write):
    write("predictions", a=rows((0, 2, 0.5), dtype=np.float32))
    with pytest.raises(ValueError, match="case a, prediction: the label holds fractions"):
        map_cohort(two, PAPER)
    write("predictions", a=rows((0, 2, np.nan), dtype=np.float32))
    with pytest.raises(ValueError, match="finite values from 0 to 1, this one NaN or infinite ones"):
        map_cohort(MapFolders(two.predictions, two.truth, level=0.5), PAPER)
    write("predictions", a=rows((0, 2, 1.5), dtype=np.float32))
    with pytest.raises(ValueError, match=r"values from 0 to 1, this one 0 to 1\.5"):
        map_cohort(MapFolders(two.predictions, two.truth, level=0.5), PAPER)
    with pytest.raises(ValueError, match="level of a probability map"):
        map_cohort(MapFolders(two.predictions, two.truth, level=0.0), PAPER)


def test_a_probability_map_that_is_missing_and_two_sources_of_scores_are_refused(two, write, tmp_path):
    maps = write("maps", b=rows(dtype=np.float32))
    with pytest.raises(ValueError, match="case a has no probability map"):
        map_cohort(MapFolders(two.predictions, two.truth, probabilities=maps), PAPER)
    with pytest.raises(ValueError, match="give one of the three"):
        both = MapFolders(two.predictions, two.truth, scores=tmp_path / "x.csv", probabilities=maps)
        map_cohort(both, PAPER)
    (two.predictions / "scores.json").write_text("{}")
    with pytest.raises(ValueError, match="keep one or name it"):
        map_cohort(two, PAPER)


def test_two_files_of_one_case_and_folders_without_images_are_refused(two, tmp_path):
    (two.truth / "a.nii").write_bytes(b"")
    with pytest.raises(ValueError, match="are both case a"):
        case_files(two.truth)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        case_files(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is not a folder"):
        case_files(tmp_path / "missing")


def test_ignored_findings_of_unknown_cases_are_refused(two, write):
    ignored = write("ignored", z=rows())
    with pytest.raises(ValueError, match=r"files of cases that .* lacks: z"):
        map_cohort(MapFolders(two.predictions, two.truth, ignored=ignored), PAPER)


def test_a_mask_among_numbered_truths_is_not_taken_for_one_node(write):
    """Each case has five nodes; that of b is a mask."""
    five = [(2 * n, 1, n + 1) for n in range(5)]
    predictions = write("predictions", a=rows(*five), b=rows(*five))
    truth = write("truth", a=rows(*five), b=rows(*((start, count, 1) for start, count, _ in five)))
    with pytest.raises(ValueError, match=r"truth of 1 of 2 cases .* several parts \(b\)"):
        map_cohort(MapFolders(predictions, truth), PAPER)
    cohort = map_cohort(MapFolders(predictions, truth, split_truth=True), PAPER)
    assert [one.n_nodes for one in cohort.scored.values()] == [5, 5]


def test_splitting_a_truth_leaves_touching_values_apart(write):
    predictions = write("predictions", a=rows((0, 2, 1)))
    truth = write("truth", a=rows((0, 2, 1), (2, 2, 2), (6, 2, 2)))
    cohort = map_cohort(MapFolders(predictions, truth, split_truth=True), PAPER)
    assert cohort.scored["a"].n_nodes == 3 and cohort.scored["a"].hits.tolist() == [True]


def test_rejected_candidates_of_a_map_are_no_predictions_and_the_others_are_told_apart(write):
    nodes = [(2 * n, 1, n + 1) for n in range(5)]
    shown = rows(*((start, count, 1) for start, count, _ in nodes[:4]), (8, 1, 2))
    folders = MapFolders(write("predictions", a=shown), write("truth", a=rows(*nodes)), rejected={"a": 2})
    cohort = map_cohort(folders, PAPER)
    assert cohort.scored["a"].hits.tolist() == [True] * 4 and cohort.scored["a"].n_nodes == 5
    assert any("rejected candidates in 1 label maps were left out" in note for note in cohort.notes)
    # Of somebody else's map nobody knows what its values are: as they are, with a note.
    unknown = map_cohort(replace(folders, rejected={}), PAPER)
    assert len(unknown.scored["a"].scores) == 2
    assert any("1 of 1 predictions hold several values, some of them in" in note for note in unknown.notes)


def test_the_approved_label_of_a_store_has_the_nodes_that_training_has(write):
    """Two nodes that touch in a mask, and a case without a map: its parts are nodes."""
    predictions = write("predictions", a=rows((0, 2, 1), (2, 2, 2)), b=rows((0, 2, 1), (6, 2, 2)))
    truth = write("truth", a=rows((0, 4, 1)), b=rows((0, 2, 1), (6, 2, 1)))
    apart = write("nodes", a=rows((0, 2, 1), (2, 2, 2))) / "a.nii.gz"
    for split in (False, True):
        folders = MapFolders(predictions, truth, split_truth=split, approved={"a": apart, "b": None})
        cohort = map_cohort(folders, PAPER)
        assert [one.n_nodes for one in cohort.scored.values()] == [2, 2]
        assert all(one.hits.tolist() == [True, True] for one in cohort.scored.values())


def test_a_segmentation_of_slicer_is_named_by_its_case(write):
    folder = write("predictions", a=rows((0, 2, 1)))
    (folder / "b.seg.nrrd").write_bytes(b"")
    assert list(case_files(folder)) == ["a", "b"]
    (folder / "a.seg.nrrd").write_bytes(b"")
    with pytest.raises(ValueError, match="are both case a"):
        case_files(folder)


def test_a_value_of_an_approved_label_may_be_taken_whole(write):
    predictions = write("predictions", a=rows((0, 2, 1)))
    truth = write("truth", a=rows((0, 2, 1), (6, 2, 1), (10, 2, 2)))
    folders = MapFolders(predictions, truth, approved={"a": None})
    assert map_cohort(folders, PAPER).scored["a"].n_nodes == 3
    assert map_cohort(replace(folders, whole_truth=True), PAPER).scored["a"].n_nodes == 2


def test_a_truth_of_several_values_in_several_parts_is_not_taken_for_as_many_nodes(write):
    """Four nodes drawn with two values."""
    predictions = write("predictions", a=rows(*((3 * n, 2, n + 1) for n in range(4))))
    truth = write("truth", a=rows(*((3 * n, 2, 1 + n % 2) for n in range(4))))
    with pytest.raises(ValueError, match=r"truth of 1 of 1 cases .* several parts \(a\)"):
        map_cohort(MapFolders(predictions, truth), PAPER)
    counts = {}
    for option in ("split_truth", "whole_truth"):
        counts[option] = map_cohort(MapFolders(predictions, truth, **{option: True}), PAPER).scored["a"]
    assert {option: one.n_nodes for option, one in counts.items()} == {"split_truth": 4, "whole_truth": 2}
