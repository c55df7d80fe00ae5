"""Max-pooling of a lesion's box to a fixed size: torchvision's operator, without what its package imports."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch


def roi_pool(features: torch.Tensor, boxes: torch.Tensor, size: int, scale: float) -> torch.Tensor:
    """The largest features in each of `size` x `size` bins of a box, one box for each image.

    Args:
        features: (N, C, rows, columns), of any precision.
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the image, last pixel included; rounded to whole pixels.
        size: Bins along each side.
        scale: Pixels of the features per pixel of the image.

    Returns:
        (N, C, size, size) float32; 0 in a bin that lies outside the features.
    """
    boxes = boxes.float()
    if torch.is_grad_enabled():
        # The package brings the operator's gradient.
        from torchvision import ops

        return ops.roi_pool(features.float(), _of_images(boxes), size, scale)
    # The operator copies all features that it is given into its own order: it gets those around the boxes.
    rounded = torch.sign(boxes) * torch.floor(boxes.abs() * scale + 0.5)
    field = rounded.new_tensor([features.shape[3], features.shape[2]])
    corners = rounded.reshape(-1, 2)  # A reversed box is a pixel at its first corner.
    low = torch.minimum(corners.amin(dim=0).clamp(min=0), field - 1)
    high = torch.maximum(torch.minimum(corners.amax(dim=0) + 1, field), low + 1)
    (left, top), (right, bottom) = low.int().tolist(), high.int().tolist()
    regions = _of_images(rounded - low.repeat(2))
    return _operator()(features[:, :, top:bottom, left:right].float(), regions, 1.0, size, size)[0]


def _of_images(boxes: torch.Tensor) -> torch.Tensor:
    """(N, 5) boxes behind the numbers of their images."""
    return torch.cat(
        [torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None], boxes], dim=1
    )


@cache
def _operator() -> Callable[..., Any]:
    """The compiled operator alone: the package imports torch's compiler, which takes a server's first answer
    seconds."""
    if not hasattr(torch.ops.torchvision, "roi_pool"):
        spec = importlib.util.find_spec("torchvision")
        folder = Path(spec.origin or "").parent if spec else Path()
        libraries = [path for path in sorted(folder.glob("_C*")) if path.suffix in (".so", ".pyd", ".dylib")]
        try:
            torch.ops.load_library(str(libraries[0]))
        except (IndexError, OSError):
            # Another version keeps it elsewhere, and loads it itself.
            importlib.import_module("torchvision")
    return torch.ops.torchvision.roi_pool
