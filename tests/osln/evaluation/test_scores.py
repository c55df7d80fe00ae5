import numpy as np
import pytest

from osln.evaluation.scores import read_scores, scores_of


def test_csv_and_json_give_the_same_scores(tmp_path):
    table, tree = tmp_path / "s.csv", tmp_path / "s.json"
    table.write_text("patient,instance,probability\na,2,0.5\nb,1,0.25\n")
    tree.write_text('{"a": {"2": 0.5}, "b": {"1": 0.25}}')
    assert read_scores(table) == read_scores(tree) == {"a": {2: 0.5}, "b": {1: 0.25}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": {"1": 0.5, "1": 0.6}}', "1 stands in it twice"),
        ('{"a": {"1": NaN}}', "score of label 1 in case a is nan"),
        ('{"a": {"1": "high"}}', "cannot be read as scores"),
        ('{"a": {"one": 0.5}}', "label is 'one' in case a"),
        ('[{"a": 1}]', "cannot be read as scores"),
        ('{"a": 0.5}', "cannot be read as scores"),
        ("{", "cannot be read as scores"),
    ],
)
def test_json_that_holds_no_scores_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_scores(path)


def test_scores_come_in_the_order_of_the_labels():
    labels = np.array([[[7, 0, 3]]])
    assert scores_of("a", labels, {"a": {3: 0.1, 7: 0.9}}).tolist() == [0.1, 0.9]
    assert scores_of("a", labels, None) is None
    assert scores_of("b", np.zeros((1, 1, 1), dtype=int), {}).tolist() == []
