import numpy as np
import pytest

from osln.evaluation.marks import list_cohort, mark_cohort
from osln.metrics.criteria import CRITERIA
from osln.metrics.froc import froc

LUNA16 = CRITERIA["luna16"]


@pytest.fixture
def files(tmp_path):
    """Writes tables and returns their paths."""

    def write(**texts: str):
        paths = {}
        for name, text in texts.items():
            paths[name] = tmp_path / f"{name}.csv"
            paths[name].write_text(text)
        return paths

    return write


ANNOTATIONS = "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.1,0,0,0,10\n1.1,100,0,0,6\n1.2,-50,20,5,8\n"
EXCLUDED = "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.3,0,0,0,-1\n1.3,50,0,0,8\n"
CANDIDATES = (
    "seriesuid,coordX,coordY,coordZ,probability\n"
    "1.1,4.9,0,0,0.9\n"  # hits the first
    "1.1,0,0,1,0.8\n"  # hits it too, ignored
    "1.1,103,0,0,0.7\n"  # on the surface of the second: false
    "1.3,4.9,0,0,0.6\n"  # in the finding without a diameter: ignored
    "1.3,5.1,0,0,0.5\n"  # beyond its 5 mm: false
)


def test_luna16_files_score_by_hand(files):
    paths = files(
        predictions=CANDIDATES, truth=ANNOTATIONS, ignored=EXCLUDED, patients="1.1\n1.2\n1.3\n1.4\n"
    )
    cohort = mark_cohort(paths["predictions"], paths["truth"], LUNA16, paths["ignored"], paths["patients"])
    curve = froc(list(cohort.scored.values()))
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.7, 0.5]
    assert curve.sensitivity.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert curve.false_positives.tolist() == [0, 0, 0.25, 0.5]
    assert cohort.neither == {"1.1": 1, "1.2": 0, "1.3": 1, "1.4": 0}
    assert not cohort.left_out and not cohort.notes


def test_without_a_list_the_patients_are_those_with_a_mark_and_a_note_says_so(files):
    paths = files(predictions=CANDIDATES, truth=ANNOTATIONS)
    cohort = mark_cohort(paths["predictions"], paths["truth"], LUNA16)
    assert list(cohort.scored) == ["1.1", "1.2", "1.3"]
    assert "patients without any mark are not counted" in cohort.notes[0]


def test_the_papers_criterion_takes_radius_or_diameter(files):
    truth = "patient,x_mm,y_mm,z_mm,radius_mm\na,0,0,0,5\n"
    paths = files(truth=truth, radius="patient,x,y,z,radius,score\na,8,0,0,4,1\n",
                  diameter="patient,x,y,z,diameter,score\na,8,0,0,8,1\n")  # fmt: skip
    for name in ("radius", "diameter"):
        scored = mark_cohort(paths[name], paths["truth"], CRITERIA["paper"]).scored["a"]
        assert scored.hits.tolist() == [True]


def test_empty_tables_of_truth_and_of_predictions_have_documented_values(files):
    paths = files(
        predictions="patient,x,y,z,score\n",
        truth="patient,x,y,z,radius\n",
        patients="a\nb\n",
        marks=CANDIDATES,
    )
    nothing = mark_cohort(paths["predictions"], paths["truth"], LUNA16, patients=paths["patients"])
    assert [one.n_nodes for one in nothing.scored.values()] == [0, 0]
    assert np.isnan(froc(list(nothing.scored.values())).mean())
    with pytest.raises(ValueError, match="hold no mark and no list"):
        mark_cohort(paths["predictions"], paths["truth"], LUNA16)


def test_marks_of_patients_who_are_not_listed_are_refused_or_left_out_and_told(files):
    paths = files(predictions=CANDIDATES, truth=ANNOTATIONS, patients="1.1\n1.2\n")
    with pytest.raises(ValueError, match=r"marks of 1 patients who are not on the list of patients \(1\.3\)"):
        mark_cohort(paths["predictions"], paths["truth"], LUNA16, patients=paths["patients"])
    cohort = mark_cohort(
        paths["predictions"], paths["truth"], LUNA16, patients=paths["patients"], only_common=True
    )
    assert list(cohort.scored) == ["1.1", "1.2"]
    assert cohort.left_out == ["predictions.csv: 2 marks of 1 patients who are not on the list (1.3)"]


HEAD = "patient,x,y,z,radius,score\n"


@pytest.mark.parametrize(
    ("predictions", "truth", "words"),
    [
        (HEAD + "a,0,0,0,3,nan\n", HEAD + "a,0,0,0,3,1\n", "predictions.csv, line 2: score is 'nan'"),
        (HEAD + "a,0,inf,0,3,1\n", HEAD, "line 2: y is 'inf'"),
        (HEAD + ",0,0,0,3,1\n", HEAD, "line 2: no patient"),
        (HEAD + "a,0,0,0,0,1\n", HEAD, "line 2: the radius is 0; expected mm above 0"),
        (HEAD, HEAD + "a,0,0,0,-2,1\n", "truth.csv, line 2: the radius is -2"),
        (HEAD, HEAD + "a,0,0,0,3,1\na,0,0,0,3,1\n", "line 3: the same node stands in the table twice"),
        (HEAD, "patient,x,y,z\na,0,0,0\n", "truth.csv has no column for the radius"),
        (HEAD, "patient,x,y,z,radius,diameter_mm\n", "a column for the radius and one for the diameter"),
        ("patient,x,y,score\n", HEAD, "predictions.csv has no column for z"),
        ("patient,x,y,z,radius\n", HEAD, "predictions.csv has no column for score"),
        ("patient,x,y,z,score\na,0,0,0,1\n", HEAD + "a,0,0,0,3,1\n", "needs the radius of the predictions"),
    ],
)
def test_tables_of_marks_that_cannot_be_used_are_refused_in_words(files, predictions, truth, words):
    paths = files(predictions=predictions, truth=truth)
    with pytest.raises(ValueError, match=words):
        mark_cohort(paths["predictions"], paths["truth"], CRITERIA["paper"])


def test_a_prediction_that_stands_in_a_table_twice_counts_twice_and_a_note_says_so(files):
    line = "a,0,0,0,3,0.5\n"
    paths = files(predictions=HEAD + 2 * line + "a,0,0,0,3,0.4\n", truth=HEAD)
    cohort = mark_cohort(paths["predictions"], paths["truth"], CRITERIA["paper"])
    assert cohort.scored["a"].hits.tolist() == [False, False, False]
    assert "predictions that repeat another line of predictions.csv, each counted: 1" in cohort.notes


def test_columns_that_are_not_known_are_told(files):
    paths = files(predictions="patient,x,y,z,score,class\na,0,0,0,1,0\n", truth=HEAD)
    notes = mark_cohort(paths["predictions"], paths["truth"], LUNA16).notes
    assert "predictions.csv: columns class were not used" in notes


def test_bare_lists_are_taken_as_they_are(files):
    paths = files(
        pairs="patient,score,hit\na,0.9,1\na,0.8,false\nc,0.7,0\n", nodes="patient,nodes\na,2\nb,1\nc,0\n"
    )
    cohort = list_cohort(paths["pairs"], paths["nodes"])
    curve = froc(list(cohort.scored.values()))
    assert curve.sensitivity.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert curve.false_positives.tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("pairs", "nodes", "words"),
    [
        ("b,0.5,1\n", "a,1\n", "line 2: patient b is not in nodes.csv"),
        ("a,0.5,maybe\n", "a,1\n", "hit is 'maybe'; expected 1 or 0"),
        ("a,0.5,1\na,0.4,1\n", "a,1\n", "pairs.csv, patient a: 2 hits for 1 nodes"),
        ("a,nan,1\n", "a,1\n", "score is 'nan'"),
        ("", "a,1\na,2\n", "names a twice"),
        ("", "a,1.5\n", "expected a whole number"),
        ("", "a,-1\n", "expected a whole number"),
        ("", "a,1e30\n", "expected a whole number from 0 to 65535"),
        ("", "", "nodes.csv names no patient: add a line for each"),
    ],
)
def test_bare_lists_that_cannot_be_are_refused_in_words(files, pairs, nodes, words):
    paths = files(pairs="patient,score,hit\n" + pairs, nodes="patient,nodes\n" + nodes)
    with pytest.raises(ValueError, match=words):
        list_cohort(paths["pairs"], paths["nodes"])


def test_ids_that_are_written_in_two_ways_are_refused_or_told(files):
    truth = "patient,x,y,z,radius\n001,0,0,0,5\n002,0,0,0,5\n"
    header = "patient,x,y,z,radius,score\n"
    paths = files(truth=truth, other=f"{header}1,0,0,0,5,1\n", some=f"{header}001,0,0,0,5,1\n2,0,0,0,5,1\n",
                  all=f"{header}001,0,0,0,5,1\n002,0,0,0,5,1\n", none=header)  # fmt: skip
    paper = CRITERIA["paper"]
    with pytest.raises(ValueError, match="share no patient: one names '1', the other '001'"):
        mark_cohort(paths["other"], paths["truth"], paper)
    told = "patients with predictions and without a node: 1; with nodes and without a prediction: 1"
    assert mark_cohort(paths["some"], paths["truth"], paper).notes[1].startswith(told)
    assert len(mark_cohort(paths["all"], paths["truth"], paper).notes) == 1
    assert "without a prediction: 2" in mark_cohort(paths["none"], paths["truth"], paper).notes[1]
