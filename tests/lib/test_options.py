import pytest

from lib.options import Choice, Number, Switch, checked, shown

OPTIONS = (
    Choice("device", ("cuda", "cpu")),
    Number("iterations", 1000, 1, 5000),
    Number("learning_rate", 4e-3, 1e-6, 1.0),
    Switch("from_scratch", False),
)


def test_defaults_are_used_for_what_is_not_sent():
    assert checked({}, OPTIONS) == {
        "device": "cuda",
        "iterations": 1000,
        "learning_rate": 4e-3,
        "from_scratch": False,
    }


def test_viewers_are_shown_strings_in_lists_and_the_default_first():
    assert shown(OPTIONS) == {
        "device": ["cuda", "cpu"],
        "iterations": 1000,
        "learning_rate": 4e-3,
        "from_scratch": False,
    }


def test_text_from_a_viewer_is_read_as_the_type_of_the_option():
    sent = {"iterations": "20", "learning_rate": "1e-3", "from_scratch": "True", "device": "cpu"}
    assert checked(sent, OPTIONS) == {
        "iterations": 20,
        "learning_rate": 0.001,
        "from_scratch": True,
        "device": "cpu",
    }


def test_a_client_that_sends_the_whole_list_means_its_first_entry():
    assert checked({"device": ["cuda", "cpu"]}, OPTIONS)["device"] == "cuda"


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"device": "tpu"}, "device is one of cuda, cpu, not 'tpu'"),
        ({"device": ["cpu"]}, "device is one of cuda, cpu"),
        ({"iterations": 0}, "iterations is a whole number from 1 to 5000, not 0"),
        ({"iterations": 2.5}, "whole number"),
        ({"iterations": True}, "whole number"),
        ({"iterations": "many"}, "whole number from 1 to 5000, not 'many'"),
        ({"learning_rate": float("nan")}, "learning_rate is a number from 1e-06 to 1.0"),
        ({"learning_rate": float("inf")}, "learning_rate is a number"),
        ({"from_scratch": "perhaps"}, "from_scratch is true or false, not 'perhaps'"),
        ({"model_filename": "x"}, "unknown option model_filename; the options here are: device, iterations"),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(sent, sentence):
    with pytest.raises(ValueError, match=sentence):
        checked(sent, OPTIONS)


def test_keys_of_clients_and_of_the_server_are_no_options():
    assert "client_id" not in checked({"client_id": "slicer", "image": "p1"}, OPTIONS, ignored=("image",))
