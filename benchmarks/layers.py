"""Where a network spends its time, layer by layer, in float32 and in bfloat16: why the latter is faster.

One window of a shipped network on one thread, by OpenVINO's own clock, both formats by turns. Of each kind of
layer the fastest of the rounds is taken, since other work on the computer only adds. A processor without
bfloat16 has but one column.

    ./benchmarks/run layers
    ./benchmarks/run layers --network ct-distal --rounds 20
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from benchmarks.fusion import print_table
from osln.networks.unet3d_openvino import probability_graph
from osln.rows.experiments import SEGMENTERS, SERVED_SEGMENTERS
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]
FORMATS = {"f32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Layer:
    """What one layer is.

    Attributes:
        kind: As OpenVINO calls it.
        channels: Of its input and output.
        voxels: Of its output.
    """

    kind: str
    channels: tuple[int, int]
    voxels: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=SERVED_SEGMENTERS, default="ef-proximal", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="(%(default)s)")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    options = parser.parse_args(arguments)
    able = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    clocks = {name: Clock(options, name) for name in FORMATS if name == "f32" or able}
    for _ in range(options.rounds):
        for clock in clocks.values():
            clock.round()
    rows, names = table({name: clock.milliseconds() for name, clock in clocks.items()}), [*clocks]
    shown = [column for name in names for column in (f"{FORMATS[name]}, ms", "share")]
    ratio = ["times faster"] if len(names) > 1 else []
    print_table(["voxels", "layers", "channels in and out", *shown, *ratio], rows)
    return 0


class Clock:
    """One network in one number format."""

    def __init__(self, options: argparse.Namespace, number_format: str) -> None:
        checkpoint = ModelStore(options.models).load(options.network)
        inputs, window = len(SEGMENTERS[options.network].inputs), checkpoint.preparation.window
        graph = probability_graph(checkpoint.network(), (1, inputs, *window))
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": number_format,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": 1,
            "PERF_COUNT": True,
        }
        compiled = ov.Core().compile_model(graph, "CPU", settings)
        nodes = compiled.get_runtime_model().get_ordered_ops()
        # Weights are nodes, too; a layer has images of three axes.
        self._layers = {
            one.get_friendly_name(): _layer(one)
            for one in nodes
            if one.get_input_size() and len(one.get_output_shape(0)) == 5
        }
        self._request = compiled.create_infer_request()
        self._image = np.random.default_rng(0).normal(size=(1, inputs, *window)).astype(np.float32)
        self._fastest: dict[str, float] = {}

    def round(self) -> None:
        """Ask once."""
        self._request.infer([self._image])
        for one in self._request.profiling_info:
            took = 1e3 * one.real_time.total_seconds()
            if took and one.node_name in self._layers:
                self._fastest[one.node_name] = min(took, self._fastest.get(one.node_name, took))

    def milliseconds(self) -> dict[Layer, float]:
        """By layer; of equal ones the sum."""
        told: dict[Layer, float] = {}
        for name, took in self._fastest.items():
            told[self._layers[name]] = told.get(self._layers[name], 0.0) + took
        return told


def table(by_format: Mapping[str, Mapping[Layer, float]]) -> list[tuple[str, ...]]:
    """A line for each kind of layer and resolution, the finest first, and one for all.

    Args:
        by_format: Milliseconds of each layer by number format.
    """
    sums: dict[tuple[int, str, str], dict[str, float]] = {}
    for name, layers in by_format.items():
        for layer, took in layers.items():
            line = sums.setdefault((layer.voxels, *_words(layer)), {})
            line[name] = line.get(name, 0.0) + took
    whole = {name: sum(layers.values()) for name, layers in by_format.items()}
    lines = sorted(sums.items(), key=lambda one: (-one[0][0], -max(one[1].values())))
    rows = [(f"{key[0]:,}", *key[1:], *_cells(took, whole)) for key, took in lines]
    return [*rows, ("all", "", "", *_cells(whole, whole))]


def _cells(took: Mapping[str, float], whole: Mapping[str, float]) -> list[str]:
    told = []
    for name, of in whole.items():
        told += [f"{took[name]:.1f}", f"{took[name] / of:.0%}"] if name in took else ["", ""]
    if len(whole) > 1:
        both = [took.get(name) for name in whole]
        told.append(f"{both[0] / both[1]:.1f}" if both[0] and both[1] else "")
    return told


def _words(layer: Layer) -> tuple[str, str]:
    known = {"Convolution": "convolution", "Deconvolution": "upsampling and convolution"}
    if layer.kind not in known:
        return "others", ""
    return known[layer.kind], " and ".join(map(str, layer.channels))


def _layer(node: ov.Node) -> Layer:
    kind = node.get_rt_info()["layerType"].astype(str)
    given, out = list(node.input(0).get_shape()), list(node.get_output_shape(0))
    return Layer(kind, (given[1], out[1]), int(np.prod(out[2:])))


if __name__ == "__main__":
    sys.exit(main())
