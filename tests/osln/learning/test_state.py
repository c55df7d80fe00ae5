"""State of a training on disk: whole, of this training, or none."""

import numpy as np
import pytest
import torch

from osln.learning import state as training_state
from osln.learning.state import StateFile, fingerprint, load_state, save_state


def test_what_is_saved_under_a_key_is_loaded_under_it_alone(tmp_path, caplog):
    path = tmp_path / "folder" / "state"
    StateFile(path, "key", "2 processes").save(lambda: {"epoch": 3, "network": {"a": torch.arange(4.0)}})
    state = StateFile(path, "key", "2 processes").load(["epoch"])
    assert state["epoch"] == 3 and state["network"]["a"].tolist() == [0, 1, 2, 3]
    assert StateFile(tmp_path / "none", "key").load() is None
    assert not caplog.records and [one.name for one in path.parent.iterdir()] == ["state"]


@pytest.mark.parametrize(
    ("other", "needed", "told"),
    [
        (("other", "1 process"), [], "training, of 2 processes and not of 1 process, and not gone on from"),
        (("other", "2 processes"), [], "state is the state of another training and not gone on from: this"),
        # Of a former version of the software.
        (("key", "2 processes"), ["step"], "state is the state of another training and not gone on from"),
    ],
)
def test_a_state_of_another_training_is_told_before_it_is_written_over(tmp_path, caplog, other, needed, told):
    path = tmp_path / "state"
    StateFile(path, "key", "2 processes").save(lambda: {"epoch": 3})
    assert StateFile(path, *other).load(needed) is None
    assert len(caplog.records) == 1 and told in caplog.text
    # Of a version that wrote no words.
    save_state(path, "key", {"epoch": 3})
    assert StateFile(path, *other).load(["step"]) is None and " of another training and" in caplog.text


def test_a_state_that_cannot_be_written_leaves_the_former_one(tmp_path):
    path = tmp_path / "state"
    save_state(path, "key", {"epoch": 1})
    with pytest.raises((AttributeError, RuntimeError, TypeError, ValueError)):
        save_state(path, "key", {"epoch": (one for one in ())})
    assert load_state(path)["epoch"] == 1
    assert [one.name for one in tmp_path.iterdir()] == ["state"]


def test_a_damaged_file_is_told_and_the_training_begins_anew(tmp_path, caplog):
    path = tmp_path / "state"
    save_state(path, "key", {"epoch": 1})
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"state"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"state cannot be read \(.+\)$"):
            load_state(path)
        caplog.clear()
        file = StateFile(path, "key")
        assert file.load() is None
        assert "state cannot be read" in caplog.text and "begins anew and writes over it" in caplog.text
        file.save(lambda: {"epoch": 2})
        assert StateFile(path, "key").load()["epoch"] == 2


def test_a_file_that_the_disk_does_not_give_is_not_written_over(tmp_path, monkeypatch):
    save_state(tmp_path / "state", "key", {"epoch": 1})

    def fails(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(ValueError, match=r"state cannot be read \(\[Errno 5\].*: mend that, or delete it"):
        StateFile(tmp_path / "state", "key").load()


def test_a_full_disk_costs_the_state_and_not_the_training(tmp_path, monkeypatch, caplog):
    path, written, full = tmp_path / "state", training_state.write_atomically, [True]

    def write(path, data):
        if full[0]:
            raise OSError(28, "No space left on device")
        written(path, data)

    file = StateFile(path, "key")
    monkeypatch.setattr(training_state, "write_atomically", write)
    for _ in range(2):
        file.save(lambda: {"epoch": 1}, at_once=True)
    assert len(caplog.records) == 1 and not path.exists()
    assert "state cannot be written ([Errno 28] No space left on device): the training goes on" in caplog.text
    full[0] = False
    file.save(lambda: {"epoch": 2}, at_once=True)
    assert load_state(path)["epoch"] == 2


def test_a_state_is_flushed_to_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("osln.files.whole.os.fsync", lambda _: flushed.append((tmp_path / "state").exists()))
    save_state(tmp_path / "state", "key", {"epoch": 1})
    assert flushed == [False]


def test_a_state_that_would_execute_something_is_not_loaded(tmp_path):
    torch.save({"key": "key", "epoch": print}, tmp_path / "state")
    with pytest.raises(ValueError, match="cannot be read"):
        load_state(tmp_path / "state")


def test_the_state_is_written_as_often_as_a_share_of_the_time_allows(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(training_state.time, "monotonic", lambda: now[0])

    def slow(path, key, state):
        written.append(state["step"])
        now[0] += seconds

    written, seconds = [], 1.0
    monkeypatch.setattr(training_state, "save_state", slow)
    file = StateFile(tmp_path / "state", "key")
    for step in range(12):
        file.save(lambda step=step: {"step": step})
        now[0] += 20.0
    # A second of writing, then fifty without: every third step of twenty seconds.
    assert written == [0, 3, 6, 9]
    # Fifty times twenty seconds are more than ten minutes: then every tenth step of a minute.
    seconds = 20.0
    file.save(lambda: {"step": 100}, at_once=True)
    for step in range(101, 122):
        now[0] += 60.0
        file.save(lambda step=step: {"step": step})
    assert written[4:] == [100, 110, 120]
    file.save(lambda: {"step": 99}, at_once=True)
    assert written[-1] == 99
    StateFile(None, "key").save(lambda: written.append("never") or {})
    assert written[-1] == 99 and StateFile(None, "key").load() is None


def test_a_fingerprint_tells_values_arrays_and_tensors_and_their_order():
    parts = ["a", 1.5, np.arange(3), torch.ones(2)]
    same = fingerprint(*parts[:2], np.arange(6)[:3], torch.ones(2))
    assert fingerprint(*parts) == same and len(same) == 64
    # SHA-256 of "abc", as FIPS 180-2 gives it.
    assert fingerprint("a", "bc").startswith("ba7816bf8f01cfea")
    others = [parts[::-1], [*parts[:2], np.arange(4), parts[3]], [*parts[:3], torch.zeros(2)]]
    assert len({fingerprint(*other) for other in others} | {same}) == 4
