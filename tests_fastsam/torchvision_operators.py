"""The two operators without which torchvision cannot be imported, in plain torch.

Beside a CPU torch, the torchvision of PyPI installs but its compiled operators do not load. ultralytics' own predictor,
with which the adapter is compared, imports torchvision for its NMS. Importing this module before it mends that.
"""

import sys

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes ``(n, 4)`` xyxy that stay, best first: no box that overlaps a better one by more."""
    order = scores.argsort(descending=True, stable=True)
    near = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    far = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (far - near).clamp(min=0).prod(dim=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    alike = (shared / (areas[:, None] + areas - shared) > iou_threshold).tolist()
    stays: list[int] = []
    for i in order.tolist():
        if not any(alike[i][j] for j in stays):
            stays.append(i)
    return torch.tensor(stays, dtype=torch.int64, device=boxes.device)


def define() -> None:
    """Import torchvision, with these operators if it does not bring its own."""
    try:
        import torchvision
    except Exception:  # whatever a broken one raises
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        for name in ("nms", "qnms"):
            _LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _LIBRARY.impl(name, nms, "CPU")
        import torchvision

        torchvision.extension._has_ops = lambda: True
