"""What a GPU computes in float32 is what a CPU computes."""

import torch

from osln.weights.devices import Arithmetic, devices
from small.cuda import on_gpu


@on_gpu
def test_a_gpu_convolves_float32_as_a_cpu_does():
    torch.manual_seed(0)
    x, layer = torch.rand(1, 16, 12, 12, 12), torch.nn.Conv3d(16, 16, 3)
    with torch.inference_mode(), Arithmetic.on("cuda", "f32").autocast():
        found = layer.to("cuda")(x.to("cuda")).cpu()
        torch.testing.assert_close(found, layer.to("cpu")(x), atol=1e-5, rtol=1e-5)


@on_gpu
def test_a_gpu_comes_before_the_cpu_and_computes_in_half_precision_unless_asked():
    assert devices()[:2] == ("cuda", "cuda:0") and devices()[-1] == "cpu"
    assert Arithmetic.on("cuda").number_format == "f16"
