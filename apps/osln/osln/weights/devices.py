"""Devices on which trained networks run, and the numbers that they compute with there."""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
NUMBER_FORMATS = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
CPU_NUMBER_FORMATS = ("f32", "bf16")
"""No CPU that this software was seen on multiplies faster in float16."""


def devices(preferred: str | None = None) -> tuple[str, ...]:
    """Devices of this computer, best first: "cuda" (the first GPU), "cuda:0", "cuda:1", ..., "cpu".

    Args:
        preferred: Device to put first.

    Raises:
        ValueError: If the preferred device is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = (*["cuda"][:count], *(f"cuda:{index}" for index in range(count)), "cpu")
    if preferred is None:
        return found
    _check(preferred, found)
    return (preferred, *(name for name in found if name != preferred))


@dataclass(frozen=True)
class Arithmetic:
    """Where a trained network runs and the numbers that it computes with; made by `on`.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        number_format: "f32", "bf16" or, on GPUs, "f16".
    """

    device: str
    number_format: str

    @classmethod
    def on(
        cls,
        device: str = "cpu",
        number_format: str | None = None,
        *,
        available: Sequence[str] | None = None,
    ) -> "Arithmetic":
        """What is asked for, checked.

        Args:
            device: One of `available`.
            number_format: "f32", "bf16" or, on GPUs, "f16"; None chooses what the device is made for: "f16"
                on a GPU, "bf16" on a CPU that multiplies in it, else "f32". Figures that must not depend on
                the computer ask for "f32".
            available: Devices to choose from; this computer's if omitted.

        Raises:
            ValueError: If the device is not there or does not compute in that format.
        """
        _check(device, devices() if available is None else available)
        known = CPU_NUMBER_FORMATS if device == "cpu" else tuple(NUMBER_FORMATS)
        if number_format is None:
            number_format = "f16" if device != "cpu" else "bf16" if _cpu_multiplies_bf16() else "f32"
        if number_format not in known:
            raise ValueError(
                f"number format {number_format!r} is not known on {device}: expected {' or '.join(known)}"
            )
        return cls(device, number_format)

    def autocast(self) -> AbstractContextManager[None]:
        """In which to run the network.

        For "f32" on a GPU it keeps the whole process from rounding inputs of convolutions to 10 bits
        (TensorFloat-32), which PyTorch does unless it is told not to.
        """
        if self.number_format != "f32":
            kind = torch.device(self.device).type
            return torch.autocast(kind, NUMBER_FORMATS[self.number_format])
        if self.device == "cpu":
            return nullcontext()
        cudnn = torch.backends.cudnn
        return cudnn.flags(
            cudnn.enabled, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
        )


@dataclass(frozen=True)
class Engine:
    """What runs a network that is written down as an OpenVINO graph too; made by `on`.

    Attributes:
        runtime: "openvino" or "torch".
        arithmetic: Where, and in which numbers.
    """

    runtime: str
    arithmetic: Arithmetic

    @classmethod
    def on(
        cls, device: str = "cpu", runtime: str | None = None, number_format: str | None = None
    ) -> "Engine":
        """What is asked for, checked.

        Args:
            device: "cpu", "cuda" or "cuda:N".
            runtime: "openvino" or "torch"; None chooses the fastest for the device.
            number_format: As `Arithmetic.on`; None on a CPU is OpenVINO's choice for this processor, and
                "f32" for torch, which OpenVINO is compared with.

        Raises:
            ValueError: If the device, runtime or number format is not there.
        """
        if runtime not in (None, "openvino", "torch"):
            raise ValueError(f"runtime {runtime!r} is not known: expected openvino or torch")
        runtime = runtime or ("openvino" if device == "cpu" and HAS_OPENVINO else "torch")
        if runtime == "openvino" and (device != "cpu" or not HAS_OPENVINO):
            raise ValueError("the OpenVINO runtime serves the CPU and needs the package openvino")
        if device == "cpu":
            number_format = number_format or ("f32" if runtime == "torch" else _openvino_number_format())
        return cls(runtime, Arithmetic.on(device, number_format))

    def compiled(self, graph: Any, number_format: str | None = None) -> Any:
        """An OpenVINO graph ready to be called, for the runtime "openvino" alone.

        Args:
            graph: An `openvino.Model`.
            number_format: Another one than the engine's.
        """
        import openvino as ov

        number_format = number_format or self.arithmetic.number_format
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": number_format, "PERFORMANCE_HINT": "LATENCY"}
        # Both runtimes keep to the number that this process was given.
        settings["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
        return ov.Core().compile_model(graph, "CPU", settings)


def filled_up(part: np.ndarray, count: int) -> np.ndarray:
    """(count, ...) float32: an array of at most so many things, behind them zeros.

    A graph of OpenVINO is for a fixed number of things.
    """
    whole = np.zeros((count, *part.shape[1:]), dtype=np.float32)
    whole[: len(part)] = part
    return whole


def _openvino_number_format() -> str:
    """What OpenVINO's kernels for this processor are made for."""
    import openvino as ov

    return "bf16" if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def _check(device: str, available: Sequence[str]) -> None:
    if device not in available:
        raise ValueError(f"device {device!r} is not available here: expected {' or '.join(available)}")


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 itself; elsewhere autocast costs time and precision."""
    if device.type == "cuda":
        # Volta and Turing GPUs only emulate it.
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _cpu_multiplies_bf16()


def _cpu_multiplies_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bf16_is_sound(device: torch.device, network: nn.Module, run: Callable[[], object]) -> bool:
    """Whether a network learns in bfloat16 as it should; False where the device does not multiply in it.

    On CPUs the bfloat16 weight gradient of a 3 x 3 x 3 convolution over maps that are two voxels wide along
    the first axis is partly memory that nobody wrote (oneDNN 3.12). Small patches in networks of many
    halvings have such maps; those networks learn in single precision.

    Args:
        device: Where it learns.
        network: The network.
        run: Passes a batch through it.
    """
    if not bf16_is_fast(device) or device.type != "cpu":
        return bf16_is_fast(device)
    widths: set[int] = set()
    wide = [one for one in network.modules() if isinstance(one, nn.Conv3d) and max(one.kernel_size) > 1]
    hooks = [one.register_forward_pre_hook(lambda _, given: widths.add(given[0].shape[2])) for one in wide]
    training = network.training
    network.eval()
    with torch.no_grad():
        run()
    network.train(training)
    for hook in hooks:
        hook.remove()
    return 2 not in widths
