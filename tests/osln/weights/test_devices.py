"""Where networks run and in which numbers: asked without a GPU, by what would be done."""

from functools import partial

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.mulan.detection import SliceDetector
from osln.networks.lesanet import LesaNet
from osln.networks.mulan import build_mulan
from osln.rows.detectors import DETECTORS
from osln.stage_one.inference import Predictor
from osln.stage_two.scoring import CandidateScorer
from osln.tagging.tagger import Tagger
from osln.weights import devices as module
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import Arithmetic, Engine, devices
from small.detectors import use_tiny
from small.store import untrained

WITH_GPUS = ("cuda", "cuda:0", "cuda:1", "cpu")
on = partial(Arithmetic.on, available=WITH_GPUS)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
def test_devices_are_told_best_first_or_the_preferred_one_first():
    assert devices() == WITH_GPUS
    assert devices("cpu") == ("cpu", "cuda", "cuda:0", "cuda:1")
    assert devices("cuda:1") == ("cuda:1", "cuda", "cuda:0", "cpu")
    assert Arithmetic.on("cuda:1") == Arithmetic("cuda:1", "f16")


def test_a_computer_without_a_gpu_has_the_cpu_and_refuses_another_preference(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert devices() == ("cpu",)
    with pytest.raises(ValueError, match="device 'cuda' is not available here: expected cpu"):
        devices("cuda")


@pytest.mark.parametrize(
    ("device", "asked", "kind", "numbers"),
    [
        ("cuda", "f16", "cuda", torch.float16),
        ("cuda:1", "bf16", "cuda", torch.bfloat16),
        ("cpu", "bf16", "cpu", torch.bfloat16),
    ],
)
@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_half_formats_are_computed_as_asked(device, asked, kind, numbers):
    cast = on(device, asked).autocast()
    assert isinstance(cast, torch.autocast)
    assert (cast.device, cast.fast_dtype) == (kind, numbers)


def test_float32_on_a_gpu_is_float32_without_the_rounding_of_convolutions():
    cudnn = torch.backends.cudnn
    before = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    with on("cuda:0", "f32").autocast():
        assert not torch.is_autocast_enabled("cuda") and not cudnn.allow_tf32
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == before[:3]
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


def test_float32_on_a_cpu_changes_nothing():
    cast = on("cpu", "f32").autocast()
    assert not isinstance(cast, torch.autocast)
    with cast:
        assert not torch.is_autocast_enabled("cpu") and torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("fast", "chosen"), [(True, "bf16"), (False, "f32")])
def test_the_format_that_nobody_asks_for_is_the_one_that_the_device_is_made_for(monkeypatch, fast, chosen):
    monkeypatch.setattr(module, "_cpu_multiplies_bf16", lambda: fast)
    assert on("cpu").number_format == chosen
    assert on("cuda:0").number_format == on("cuda").number_format == "f16"


def segmenter(**asked) -> Predictor:
    return Predictor(untrained("ct"), **asked)


def scorer(**asked) -> CandidateScorer:
    return CandidateScorer(untrained("local-ct"), **asked)


def tagger(**asked) -> Tagger:
    return Tagger(LesaNet(1, 2), {"origin": "phantom", "trained_on": "phantom"}, **asked)


@pytest.fixture
def detector(monkeypatch):
    recipe = use_tiny(monkeypatch)
    state = build_mulan(DETECTORS["mulan-ct"], recipe).state_dict()
    return partial(SliceDetector, Checkpoint("mulan-ct", "demo", Scaling(), state, ""))


def test_all_networks_refuse_an_unknown_device_or_format_in_the_same_words(detector):
    for make in (segmenter, partial(segmenter, runtime="torch"), scorer, tagger, detector):
        for device in ("tpu", "cuda:99", "CPU", ""):
            with pytest.raises(ValueError, match=f"^device '{device}' is not available here: expected "):
                make(device=device)
        for asked in ("F32", "int8", "f16"):
            sentence = f"^number format '{asked}' is not known on cpu: expected f32 or bf16$"
            with pytest.raises(ValueError, match=sentence):
                make(number_format=asked)
    with pytest.raises(ValueError, match="'fp8' is not known on cuda: expected f32 or bf16 or f16"):
        on("cuda", "fp8")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("asked", "expected"), [(None, "f16"), ("f32", "f32"), ("bf16", "bf16")])
def test_the_networks_of_all_stages_compute_on_a_gpu_as_asked(monkeypatch, detector, asked, expected):
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)
    for make in (segmenter, scorer, tagger, detector):
        made = make(device="cuda:1", number_format=asked)
        assert made.arithmetic == Arithmetic("cuda:1", expected)


def test_a_runtime_that_there_is_not_is_refused():
    for made in (segmenter, scorer, tagger):
        with pytest.raises(
            ValueError, match=r"^runtime 'OpenVINO' is not known: expected openvino or torch$"
        ):
            made(runtime="OpenVINO")


def test_openvino_keeps_to_the_number_of_threads_of_this_process():
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as op

    image = op.parameter([1, 1, 8, 8], np.float32)
    graph = openvino.Model([op.relu(image)], [image], "one layer")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        compiled = Engine.on(number_format="f32").compiled(graph)
    finally:
        torch.set_num_threads(before)
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_torch_computes_stage_one_on_a_cpu_in_float32_unless_asked(monkeypatch):
    monkeypatch.setattr(module, "_cpu_multiplies_bf16", lambda: True)
    assert segmenter(runtime="torch").arithmetic.number_format == "f32"
    assert segmenter(runtime="torch", number_format="bf16").arithmetic.number_format == "bf16"
