"""Tensors of a checkpoint that an early torch wrote, read without executing what the file says.

Before torch 1.6 a checkpoint was a row of pickles, in which a file can ask for any function to be called.
`torch.load` with `weights_only` reads such files too, but refuses those that hold a program's settings
beside the weights. Here settings become stand-ins that keep nothing, and every call that weights do not
need is refused with its name.

The format (torch/serialization.py of torch 0.4.1, function `save`): pickles of a magic number, the
format's version, the writer's byte order, the object, and the list of its storages' keys; then for each
key the number of elements as 64-bit integer and the elements. In the object a storage is the persistent id
("storage", type, key, device, elements, None or (key, offset, elements) of a part).
"""

import io
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
FORMAT_VERSION = 1001
ZIP_START = b"PK\x03\x04"

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "BFloat16Storage": torch.bfloat16,
}


class RefusedError(ValueError):
    """The file asks for something that weights do not need; nothing of it was executed."""


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors by name that a checkpoint holds under "state_dict", or as its whole content.

    Files of torch 1.6 and later are zip archives and are read by `torch.load` with `weights_only`.

    Args:
        path: Checkpoint of any torch; written by Python 2 or 3.

    Raises:
        ValueError: If the file is missing, cut short, no checkpoint or without a state dict; `RefusedError`
            if it asks for a call, with the function's name.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    data = path.read_bytes()
    try:
        return _from_zip(data) if data.startswith(ZIP_START) else _from_pickles(data)
    except RefusedError as error:
        raise RefusedError(f"{path.name} {error}") from error
    except ValueError as error:
        raise ValueError(f"{path.name} {error}") from error


def _from_zip(data: bytes) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged or hostile file can make the reader raise nearly anything.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RefusedError(
            "is a zip file as torch 1.6 and later write it, of which only tensors and plain values are read "
            f"(weights_only): {reason}"
        ) from error
    return {name: value for name, value in _named(content).items() if isinstance(value, torch.Tensor)}


def _from_pickles(data: bytes) -> dict[str, torch.Tensor]:
    file = io.BytesIO(data)
    try:
        magic = _Reader(file).load()
    except RefusedError:
        raise
    except Exception as error:
        raise ValueError("is no torch checkpoint: it does not begin with torch's magic number") from error
    if magic != MAGIC_NUMBER:
        raise ValueError("is no torch checkpoint: it does not begin with torch's magic number")
    try:
        version, system = _Reader(file).load(), _Reader(file).load()
        reader = _Reader(file)
        content, keys = reader.load(), _Reader(file).load()
        elements = _elements(memoryview(data)[file.tell() :], keys, reader.storages)
    except RefusedError:
        raise
    except Exception as error:
        raise ValueError(f"is damaged or cut short ({error or type(error).__name__})") from error
    if version != FORMAT_VERSION or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError(f"has format {version} of {system}: expected {FORMAT_VERSION} and little-endian")
    named = _named(content)
    return {k: _tensor(k, value, elements) for k, value in named.items() if isinstance(value, _Tensor)}


def _named(content: Any) -> dict[str, Any]:
    """The state dict in a checkpoint's content, its names as text."""
    if isinstance(content, dict):
        content = content.get("state_dict", content.get(b"state_dict", content))
    tensors = (_Tensor, torch.Tensor)
    if not isinstance(content, dict) or not any(isinstance(value, tensors) for value in content.values()):
        raise ValueError('holds no weights: expected a dict with the entry "state_dict" of named tensors')
    return {k.decode("latin1") if isinstance(k, bytes) else str(k): value for k, value in content.items()}


class _Fixed:
    """An object of ours that a file gets hold of and may not change."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> NoReturn:
        raise RefusedError(f"was refused: it changes a {type(self).__name__[1:].lower()} of the reader")


@dataclass(frozen=True)
class _Storage(_Fixed):
    """Elements in the file: all of `key`, or from `offset` on where it is a part."""

    key: str
    dtype: torch.dtype
    count: int
    offset: int = 0


@dataclass(frozen=True)
class _Tensor(_Fixed):
    """What the file says of a tensor, not yet checked."""

    storage: Any
    offset: Any
    size: Any
    stride: Any


class _Function(_Fixed):
    """Something of ours that a file may call."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


class _StandInClass(type):
    """Stands for a class or function of the file; it can be made empty objects of, but not be called."""

    def __call__(cls, *arguments: Any, **named: Any) -> NoReturn:
        raise RefusedError(
            f"was refused: it calls {cls.__name__}, which weights do not need; nothing was executed"
        )

    def __setattr__(cls, name: str, value: Any) -> NoReturn:
        raise RefusedError(f"was refused: it changes {cls.__name__}; nothing was executed")


class _StandIn(metaclass=_StandInClass):
    """An object of a class that is not known here; takes what the file fills in and keeps nothing."""

    def __new__(cls, *arguments: Any, **named: Any) -> "_StandIn":
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, value: Any) -> None: ...

    def extend(self, values: Any) -> None: ...

    def add(self, value: Any) -> None: ...


class _Attributed(dict):
    """An ordered dict; torch hangs the versions of its modules on it, which are left out."""

    def __setstate__(self, state: Any) -> None: ...


def _nothing(*arguments: Any) -> _StandIn:
    return _StandIn.__new__(_StandIn)


FUNCTIONS: Mapping[tuple[str, str], _Function] = {
    ("collections", "OrderedDict"): _Function(lambda items=(): _Attributed(items)),
    ("torch._utils", "_rebuild_tensor"): _Function(lambda *parts: _Tensor(*parts[:4])),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(lambda *parts: _Tensor(*parts[:4])),
    ("torch._utils", "_rebuild_parameter"): _Function(lambda tensor, *_: tensor),
    # Settings of the program that wrote the file: known to be harmless, and of no use here.
    **{
        (module, name): _Function(_nothing)
        for module, name in (
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy", "dtype"),
            ("copy_reg", "_reconstructor"),
            ("copyreg", "_reconstructor"),
            ("_codecs", "encode"),
            ("__builtin__", "set"),
            ("builtins", "set"),
        )
    },
}
"""All that a file may call: nothing but functions of this module."""


class _Reader(pickle.Unpickler):
    """Reads one pickle; text of Python 2 as Latin-1, which knows every byte."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.cuda") and name in DTYPES:
            return DTYPES[name]
        known = FUNCTIONS.get((module, name))
        return known or _StandInClass(f"{module}.{name}", (_StandIn,), {})

    def persistent_load(self, identifier: Any) -> _Storage:
        kind, dtype, key, _, count, part = identifier
        if kind not in ("storage", b"storage") or not isinstance(dtype, torch.dtype):
            raise RefusedError(
                f"was refused: it holds a {kind} of {dtype}; expected storages of numbers alone"
            )
        whole = self.storages.setdefault(key, _Storage(key, dtype, count))
        if part is None:
            return whole
        _, offset, length = part
        return _Storage(key, dtype, length, offset)


def _elements(data: memoryview, keys: list[str], storages: Mapping[str, _Storage]) -> dict[str, torch.Tensor]:
    """The elements of each storage, from the file's end part."""
    elements = {}
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(data[:8], "little")
        length = count * storage.dtype.itemsize
        if count != storage.count or len(data) < 8 + length:
            raise ValueError(f"storage {key} has {len(data)} bytes left of {storage.count} elements")
        flat = torch.empty(0, dtype=storage.dtype)
        if count:
            flat = torch.frombuffer(bytearray(data[8 : 8 + length]), dtype=storage.dtype)
        elements[key] = flat
        data = data[8 + length :]
    return elements


def _tensor(name: str, described: _Tensor, elements: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A copy of the described part of a storage, after its bounds were checked."""
    storage, size, stride = described.storage, described.size, described.stride
    try:
        flat = elements[storage.key]
        first = storage.offset + described.offset
        last = first + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        end = min(storage.offset + storage.count, len(flat))
        count = math.prod(size)
        if min(storage.offset, described.offset, *size, *stride, 0) < 0 or count > storage.count:
            raise ValueError(f"shape {tuple(size)} is not one of {storage.count} elements")
        if count and last >= end:
            raise ValueError(f"it ends at element {last} of {end}")
        return flat.as_strided(tuple(size), tuple(stride), first).clone()
    except Exception as error:
        raise ValueError(f"is damaged: the tensor {name} cannot be formed ({error})") from error
