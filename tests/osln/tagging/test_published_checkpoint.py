"""Checkpoints of early torch are read without executing them; what asks for a call is refused by name."""

import collections
import io
import pickle
import struct
import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from osln.tagging import published_checkpoint as torch_pickle
from osln.tagging.published_checkpoint import FUNCTIONS, RefusedError, read_state_dict

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


@pytest.fixture
def settings(monkeypatch):
    """An EasyDict as the published training script keeps its settings in, of a module only the writer has."""
    module = types.ModuleType("easydict")

    class EasyDict(dict):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            self[name] = value

    EasyDict.__module__, EasyDict.__qualname__ = "easydict", "EasyDict"
    module.EasyDict = EasyDict
    monkeypatch.setitem(sys.modules, "easydict", module)
    inner = EasyDict()
    inner.PIXEL_MEANS = np.array([[[50.0]]])
    inner.SCALE = np.float64(1.5)
    inner.NAMES = {"a", "b"}
    outer = EasyDict()
    outer.TRAIN = inner
    outer.raw = b"\x00\xff"
    return outer


def written(path, content):
    """Writes the format of torch before 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


class Call:
    """Pickles as a call of a function, as hostile files do it."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def by_hand(object_pickle: bytes, keys=(), storages: bytes = b"", little=True) -> bytes:
    parts = [MAGIC, VERSION, {"little_endian": little, "protocol_version": VERSION}]
    head = b"".join(pickle.dumps(part, protocol=2) for part in parts)
    return head + object_pickle + pickle.dumps(list(keys), protocol=2) + storages


def test_tensors_come_back_with_values_types_and_shapes(tmp_path, settings):
    base = torch.arange(24.0).reshape(4, 6)
    state = collections.OrderedDict(
        weight=torch.tensor([[1.5, -2.0], [3.0, 4.0]]),
        turned=base.t(),
        part=base[1:3, 2:4],
        half=torch.tensor([0.5], dtype=torch.float16),
        counter=torch.tensor(7),
        parameter=torch.nn.Parameter(torch.tensor([9.0])),
        empty=torch.zeros(0, 3),
    )
    state._metadata = collections.OrderedDict(version=1)
    content = {"epoch": 15, "default_arg": settings, "config": settings, "state_dict": state}
    content["optimizer"] = {"state": {3: {"momentum": torch.ones(5)}}, "rate": 0.01}

    found = read_state_dict(written(tmp_path / "c.pth.tar", content))

    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor.detach())


def test_the_reader_does_not_need_the_modules_of_the_settings(tmp_path, settings, monkeypatch):
    path = written(tmp_path / "c", {"config": settings, "state_dict": {"w": torch.ones(1)}})
    monkeypatch.delitem(sys.modules, "easydict")

    assert read_state_dict(path)["w"].tolist() == [1.0]
    assert "easydict" not in sys.modules


def test_a_state_dict_without_a_frame_around_it_is_read_too(tmp_path):
    assert read_state_dict(written(tmp_path / "c", {"w": torch.ones(2)}))["w"].tolist() == [1.0, 1.0]


def test_a_file_of_python_2_written_byte_by_byte(tmp_path):
    # Protocol 2 with byte strings (opcode U), a Python 2 dict subclass, and a storage that lay on a GPU.
    def text(value):
        return b"U" + bytes([len(value)]) + value.encode("latin1")

    storage = b"(" + text("storage") + b"ctorch.cuda\nFloatStorage\n" + text("140") + text("cuda:0")
    storage += b"K\x03Ntq\x01Q"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x01K\x02\x85K\x01\x85\x89ccollections\n"
    tensor += b"OrderedDict\n]\x85RtR"
    state = b"ccollections\nOrderedDict\n](]" + b"(" + text("fc.bias") + tensor + b"ee\x85R"
    config = b"ceasydict\nEasyDict\n)\x81(" + text("caf\xe9") + b"K\x01u}b"
    content = b"\x80\x02}(" + text("config") + config + text("state_dict") + state + b"u."
    path = tmp_path / "c"
    path.write_bytes(by_hand(content, ["140"], struct.pack("<q3f", 3, 1.0, 2.0, 3.0)))

    found = read_state_dict(path)

    assert list(found) == ["fc.bias"]
    assert found["fc.bias"].tolist() == [2.0, 3.0]


def test_names_that_are_bytes_become_text(tmp_path):
    path = written(tmp_path / "c", {"state_dict": {"w": torch.ones(1)}})
    path.write_bytes(path.read_bytes().replace(b"X\x01\x00\x00\x00w", b"C\x01w"))

    assert list(read_state_dict(path)) == ["w"]


def test_parts_of_a_shared_storage_are_found(tmp_path):
    def part(offset, length):
        identifier = b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x01k\x8c\x03cpuK\x04(\x8c\x01v"
        identifier += bytes([ord("K"), offset, ord("K"), length]) + b"ttQ"
        return b"ctorch._utils\n_rebuild_tensor\n(" + identifier + b"K\x00K\x02\x85K\x01\x85tR"

    content = b"\x80\x04}(\x8c\x01a" + part(0, 2) + b"\x8c\x01b" + part(2, 2) + b"u."
    path = tmp_path / "c"
    path.write_bytes(by_hand(content, ["k"], struct.pack("<q4f", 4, 1.0, 2.0, 3.0, 4.0)))

    found = read_state_dict(path)
    assert (found["a"].tolist(), found["b"].tolist()) == ([1.0, 2.0], [3.0, 4.0])


@pytest.mark.parametrize("place", ["top", "settings", "state_dict", "first pickle"])
@pytest.mark.parametrize("name", ["system", "eval", "getattr"])
def test_a_call_of_anything_else_is_refused_by_name_and_not_executed(tmp_path, settings, place, name):
    import os

    witness = tmp_path / "witness"
    calls = {
        "system": (Call(os.system, f"touch {witness}"), f"{os.name}.system"),
        "eval": (Call(eval, f"open({str(witness)!r}, 'w')"), r"(__builtin__|builtins)\.eval"),
        "getattr": (Call(Call(getattr, os, "system") and getattr, "x", "upper"), r"\w+\.getattr"),
    }
    hostile, shown = calls[name]
    state = {"w": torch.ones(1)}
    path = tmp_path / "c.pth"
    if place == "first pickle":
        path.write_bytes(pickle.dumps(hostile, protocol=2))
    else:
        settings.bad = hostile
        content = {
            "top": {"bad": hostile, "state_dict": state},
            "settings": {"config": settings, "state_dict": state},
            "state_dict": {"state_dict": state | {"bad": hostile}},
        }
        written(path, content[place])

    with pytest.raises(
        RefusedError, match=rf"^c\.pth was refused: it calls {shown}, .* nothing was executed"
    ):
        read_state_dict(path)
    assert not witness.exists()


def test_a_chain_of_attributes_is_refused_at_its_first_call(tmp_path):
    # getattr(getattr(os, "path"), "join") with stack globals, also with a dotted name.
    chain = b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93\x8c\x02os\x8c\x04path\x93\x8c\x04join\x86R."
    dotted = b"\x80\x04\x8c\x02os\x8c\x09path.join\x93)R."
    for content, shown in ((chain, "builtins.getattr"), (dotted, "os.path.join")):
        path = tmp_path / "c"
        path.write_bytes(by_hand(content))
        with pytest.raises(RefusedError, match=f"it calls {shown}"):
            read_state_dict(path)


def test_calls_by_the_older_opcodes_are_refused_as_well(tmp_path):
    witness = tmp_path / "witness"
    command = f"touch {witness}".encode()
    opcodes = {
        "INST": b"(S'" + command + b"'\niposix\nsystem\n.",
        "OBJ": b"(cposix\nsystem\nS'" + command + b"'\no.",
    }
    for content in opcodes.values():
        path = tmp_path / "c"
        path.write_bytes(by_hand(content))
        with pytest.raises(RefusedError, match=r"it calls posix\.system"):
            read_state_dict(path)
    assert not witness.exists()


def test_objects_of_unknown_classes_are_made_empty_and_nothing_is_imported(tmp_path):
    # NEWOBJ makes an object without calling the class; then items, attributes and elements are filled in.
    filled = b"cno_such_module\nThing\n)\x81}\x8c\x01aK\x01sb(K\x01K\x02e\x8c\x01kK\x03s"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor\n((\x8c\x07storagectorch\nLongStorage\n\x8c\x01k\x8c\x03cpuK\x01Nt"
    )
    tensor += b"QK\x00))tR"
    path = tmp_path / "c"
    content = b"\x80\x04}(\x8c\x01x" + filled + b"\x8c\x01w" + tensor + b"u."
    path.write_bytes(by_hand(content, ["k"], struct.pack("<qq", 1, 42)))

    assert {name: tensor.item() for name, tensor in read_state_dict(path).items()} == {"w": 42}


@pytest.mark.parametrize(
    "target",
    [
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_parameter\n",
        b"cposix\nsystem\n",
        b"ctorch\nFloatStorage\n",
    ],
)
def test_a_file_cannot_change_the_reader(tmp_path, target):
    before = {name: function._call for name, function in FUNCTIONS.items()}
    for state in (b"}\x8c\x05_callK\x01s", b"N}\x8c\x05_callK\x01s\x86"):
        path = tmp_path / "c"
        path.write_bytes(by_hand(b"\x80\x04" + target + state + b"b."))
        with pytest.raises(ValueError):
            read_state_dict(path)
    assert {name: function._call for name, function in FUNCTIONS.items()} == before
    assert torch_pickle.DTYPES["FloatStorage"] is torch.float32


def test_whatever_a_file_may_call_is_a_function_of_the_reader():
    assert {function._call.__module__ for function in FUNCTIONS.values()} == {
        "osln.tagging.published_checkpoint"
    }


def test_a_file_that_is_missing_or_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint at"):
        read_state_dict(tmp_path / "none")
    path = tmp_path / "c"
    for content in (b"", b"just some text\n", pickle.dumps({"a": 1}, protocol=2), b"\x1f\x8b" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^c is no torch checkpoint"):
            read_state_dict(path)


def test_a_file_cut_short_is_refused_in_words(tmp_path):
    whole = written(tmp_path / "whole", {"state_dict": {"a": torch.ones(3), "b": torch.ones(4)}}).read_bytes()
    path = tmp_path / "c"
    for length in range(0, len(whole), 9):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"^c is (no torch checkpoint|damaged or cut short)"):
            read_state_dict(path)


def test_a_checkpoint_without_weights_and_one_of_another_byte_order(tmp_path):
    with pytest.raises(ValueError, match='holds no weights: expected a dict with the entry "state_dict"'):
        read_state_dict(written(tmp_path / "c", {"epoch": 3}))
    with pytest.raises(ValueError, match="holds no weights"):
        read_state_dict(written(tmp_path / "c", [torch.ones(1)]))
    path = tmp_path / "c"
    path.write_bytes(by_hand(pickle.dumps({}, protocol=2), little=False))
    with pytest.raises(ValueError, match="expected 1001 and little-endian"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "placement",
    [
        b"K\x02K\x02\x85K\x01\x85",  # begins at 2, two elements of three
        b"K\x00K\x02\x85K\x02K\x02\x86",  # one size, two strides
        b"K\x00J\x00\x00\x00\x7f\x85K\x00\x85",  # two billion elements out of one
        b"K\x02K\x02\x85J\xff\xff\xff\xff\x85",  # backwards
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, placement):
    tensor = (
        b"ctorch._utils\n_rebuild_tensor\n((\x8c\x07storagectorch\nFloatStorage\n\x8c\x01k\x8c\x03cpuK\x03Nt"
    )
    path = tmp_path / "c"
    content = b"\x80\x04}\x8c\x01w" + tensor + b"Q" + placement + b"tRs."
    path.write_bytes(by_hand(content, ["k"], struct.pack("<q3f", 3, 1.0, 2.0, 3.0)))

    with pytest.raises(ValueError, match="the tensor w cannot be formed"):
        read_state_dict(path)


def test_the_zip_files_of_later_torch_are_read_with_weights_only(tmp_path, settings):
    path = tmp_path / "c.pth"
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 3}, path)
    assert read_state_dict(path)["w"].tolist() == [1.0, 1.0]

    torch.save({"state_dict": {"w": torch.ones(2)}, "config": settings}, path)
    with pytest.raises(RefusedError, match=r"c\.pth is a zip file as torch 1\.6 .*\(weights_only\)"):
        read_state_dict(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match="is a zip file"):
        read_state_dict(path)


def some_checkpoint() -> bytes:
    file = io.BytesIO()
    state = {"weight": torch.arange(6.0).reshape(2, 3), "counter": torch.tensor(7)}
    torch.save({"epoch": 1, "state_dict": state}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


CHECKPOINT = some_checkpoint()


@tried(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.tuples(st.integers(0, len(CHECKPOINT) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, len(CHECKPOINT)),
)
def test_a_damaged_checkpoint_gives_bounded_tensors_or_a_refusal(tmp_path, changes, length):
    data = bytearray(CHECKPOINT)
    for place, value in changes:
        data[place] = value
    path = tmp_path / "damaged.pth"
    path.write_bytes(data[:length] if not changes else data)
    try:
        found = read_state_dict(path)
    except ValueError as error:
        assert str(error).startswith("damaged.pth")
        return
    for tensor in found.values():
        assert isinstance(tensor, torch.Tensor) and tensor.numel() * tensor.element_size() <= len(CHECKPOINT)
