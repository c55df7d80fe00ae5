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
        features: (N, C, rows, columns).
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the image, last pixel included; rounded to whole pixels.
        size: Bins along each side.
        scale: Pixels of the features per pixel of the image.

    Returns:
        (N, C, size, size); 0 in a bin that lies outside the features.
    """
    index = torch.arange(len(features), device=boxes.device, dtype=features.dtype)[:, None]
    regions = torch.cat([index, boxes.to(features.dtype)], dim=1)
    if torch.is_grad_enabled():
        # The package brings the operator's gradient.
        from torchvision import ops

        return ops.roi_pool(features, regions, size, scale)
    return _operator()(features, regions, scale, size, size)[0]


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
