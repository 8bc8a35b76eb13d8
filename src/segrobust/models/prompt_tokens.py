"""Prompts to tokens, as the prompt encoders of transformers' SAM and SAM 2 take them: one prompt, one mask."""

import torch
from torch import Tensor, nn


def sparse_tokens(encoder: nn.Module, points: Tensor | None, boxes: Tensor | None) -> Tensor:
    """Tokens of prompts that are each answered on its own.

    Args:
        encoder: the prompt encoder of transformers' SAM or SAM 2.
        points: ``(n, 2)`` xy in model pixels, one positive click each, or None.
        boxes: ``(n, 4)`` xyxy likewise, where there are no points.

    Returns:
        ``(1, n, k, C)``. SAM: a point and its padding token, or a box's two corners (k = 2). SAM 2 pads boxes too, as
        it was trained (k = 3).
    """
    tokens: Tensor
    if points is None:
        assert boxes is not None
        tokens = encoder(None, None, boxes[None], None)[0]
    else:
        labels = torch.ones((1, len(points), 1), dtype=torch.int64, device=points.device)
        tokens = encoder(points[None, :, None], labels, None, None)[0]
    return tokens
