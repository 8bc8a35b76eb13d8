"""Training losses."""

import torch
from torch import Tensor
from torch.nn import functional as F


def mask_losses(logits: Tensor, iou: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """BCE + dice of the masks and squared error of the predicted IoUs.

    Args:
        logits: ``(B, P, 4, h, w)``, the single-mask token first.
        iou: ``(B, P, 4)`` predicted.
        targets: ``(B, P, h, w)`` in [0, 1].

    Returns:
        Multimask loss (minimum over three + 0.1 mean), single-mask loss, IoU loss, mean best-of-three IoU.
    """
    each, true_iou = _each(logits, targets[:, :, None].expand_as(logits))
    quality = (iou - true_iou).square().mean()
    return _several(each[:, :, 1:]), each[:, :, 0].mean(), quality, true_iou[:, :, 1:].max(-1).values.mean()


def masks_against(logits: Tensor, iou: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for masks without a single-mask token.

    Args:
        logits: ``(n, m, h, w)``.
        iou: ``(n, m)`` predicted.
        targets: ``(n, h, w)`` in [0, 1].

    Returns:
        Multimask loss, IoU loss, mean best-of-m IoU.
    """
    each, true_iou = _each(logits, targets[:, None].expand_as(logits))
    return _several(each), (iou - true_iou).square().mean(), true_iou.max(-1).values.mean()


def _each(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """BCE + dice of each mask, and its true IoU."""
    bce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((-1, -2))
    share = logits.sigmoid()
    overlap = (share * truth).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (share.sum((-1, -2)) + truth.sum((-1, -2)) + 1)
    with torch.no_grad():
        hard, real = logits > 0, truth > 0.5
        true_iou = (hard & real).sum((-1, -2)) / (hard | real).sum((-1, -2)).clamp(min=1)
    return bce + dice, true_iou


def _several(each: Tensor) -> Tensor:
    """The best of the masks of a prompt learns; a tenth of the mean keeps the others alive."""
    return (each.min(-1).values + 0.1 * each.mean(-1)).mean()


def affinity_loss(embedding: Tensor, tokens: Tensor, calibration: Tensor) -> Tensor:
    """For all pairs of embedding tokens of a photo: same region or not, from their scaled cosine; balanced logistic.

    Args:
        embedding: ``(B, C, h, w)``.
        tokens: ``(B, h * w)`` region numbers, 0 = unknown (left out).
        calibration: scale and offset of the cosine.
    """
    unit = F.normalize(embedding.flatten(2).float(), dim=1)
    logits = calibration[0] * (unit.transpose(1, 2) @ unit) + calibration[1]
    known = (tokens[:, :, None] > 0) & (tokens[:, None] > 0)
    same = known & (tokens[:, :, None] == tokens[:, None])
    different = known & ~same
    positive = (F.softplus(-logits) * same).sum() / same.sum().clamp(min=1)
    negative = (F.softplus(logits) * different).sum() / different.sum().clamp(min=1)
    return 0.5 * (positive + negative)
