"""Pooling of boxes: by hand, with and without a gradient, and without the package's imports."""

import subprocess
import sys

import pytest
import torch

from osln.networks.roi_pool import roi_pool

FEATURES = torch.arange(16.0).reshape(1, 1, 4, 4)
WHOLE = torch.tensor([[0.0, 0.0, 3.0, 3.0]])


@pytest.mark.parametrize("gradient", [False, True])
def test_by_hand(gradient):
    with torch.set_grad_enabled(gradient):
        assert roi_pool(FEATURES, WHOLE, 2, 1.0)[0, 0].tolist() == [[5.0, 7.0], [13.0, 15.0]]
        # Pixels 1 to 3: bins of one pixel and a half share the middle one.
        box = torch.tensor([[1.0, 1.0, 3.0, 3.0]])
        assert roi_pool(FEATURES, box, 2, 1.0)[0, 0].tolist() == [[10.0, 11.0], [14.0, 15.0]]


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_each_image_has_its_own_box(scale):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn((8, 3, int(120 * scale), int(96 * scale)), generator=generator)
    low = torch.rand((8, 2), generator=generator) * 90
    boxes = torch.cat([low, low + torch.rand((8, 2), generator=generator) * 60], dim=1)
    with torch.no_grad():
        together = roi_pool(features, boxes, 5, scale)
        for number in range(8):
            part = slice(number, number + 1)
            assert torch.equal(together[part], roi_pool(features[part], boxes[part], 5, scale))
    assert torch.equal(together, roi_pool(features, boxes, 5, scale))


@pytest.mark.parametrize("seed", range(40))
def test_any_box_is_pooled_as_the_package_does_it(seed):
    generator = torch.Generator().manual_seed(seed)
    count, rows, columns = (int(torch.randint(1, 20, (), generator=generator)) for _ in range(3))
    scale = 0.5 ** (seed % 4)
    features = torch.randn((count, 2, rows, columns), generator=generator)
    # Beyond the features, reversed, and between two pixels.
    boxes = (
        (torch.rand((count, 4), generator=generator) * 1.6 - 0.3) * torch.tensor([columns, rows] * 2) / scale
    )
    boxes = (boxes * 2).round() / 2 if seed % 3 == 0 else boxes
    with torch.no_grad():
        found = roi_pool(features.to(memory_format=torch.channels_last), boxes, 5, scale)
    assert torch.equal(found, roi_pool(features, boxes, 5, scale))


def test_the_gradient_reaches_the_largest():
    features = FEATURES.clone().requires_grad_()
    roi_pool(features, WHOLE, 2, 1.0).sum().backward()
    assert features.grad.nonzero()[:, 2:].tolist() == [[1, 1], [1, 3], [3, 1], [3, 3]]


@pytest.mark.slow
def test_without_a_gradient_the_package_is_not_imported():
    program = (
        "import sys, torch\n"
        "from osln.networks.roi_pool import roi_pool\n"
        "with torch.inference_mode():\n"
        "    pooled = roi_pool(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 3, 3]]), 2, 1.0)\n"
        "print(pooled.sum().item(), {'torchvision', 'torch._dynamo'} & set(sys.modules))\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "4.0 set()\n"
