"""``nano-conv`` behind the interfaces: it finds all masks first, and prompts choose among them."""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segrobust.models.base import Embedding, EverythingFirst, EverythingSettings, Prediction
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.frame import Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD, to_tensor
from segrobust.models.loading import ModelFolder
from segrobust.models.nano_conv_net import MASKS, NanoConv, NanoConvConfig, compose
from segrobust.models.nano_loading import load_weights, read_sizes
from segrobust.models.options import LoadOptions
from segrobust.types import Image, Masks

OVERLAP = 0.9
"""For boxes: of two masks with a higher IoU the one with the lower predicted IoU is not considered."""
NOTHING = -10.0
"""The logit of an empty mask."""


class NanoConvSegmenter(EncoderSegmenter, EverythingFirst):
    """An everything-first segmenter with gradients.

    All masks are proposed before any prompt is looked at. A point gets those that the cell under it proposed: all
    three with ``multimask``, else the one with the highest predicted IoU. A box gets the mask that fits it best, or
    the best three: highest product of the IoU of the two boxes and the IoU of the mask's pixels with the box; what lies
    outside the box is cut off, as YOLACT does with the box that it found itself. No mask there: an empty answer.
    FastSAM's own rules differ: the union of all masks that contain the point; the pixels' IoU with the box alone.

    Args:
        model: the network.
        name: for tables.
        options: device and precision.
        everything: thresholds of ``find_masks``.
        fingerprint: sha256 of the weights.
    """

    def __init__(
        self,
        model: NanoConv,
        name: str,
        options: LoadOptions,
        *,
        everything: EverythingSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        frame = Frame(model.conv_config.image_size, SAM_MEAN, SAM_STD)
        super().__init__(name, options, frame, everything, fingerprint)
        self.module = self._network = model.to(self.device, self.dtype).eval().requires_grad_(False)
        nn.Module.to(model, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        embedding, fine = self._network.vision_encoder(inputs.contiguous(memory_format=torch.channels_last))
        return embedding, (fine,)

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks on the photo, best first.

        Of the settings, ``predicted_iou_threshold``, ``stability_threshold`` (of the low-resolution logits) and
        ``box_nms_threshold`` (here of the masks, not their boxes) count; the others ask for a grid of points.
        """
        with torch.no_grad():
            embedding = self.embed(to_tensor(image.pixels)[None])
            logits, quality = self._proposals(embedding, settings.box_nms_threshold)
            stability = _stability(logits, settings.stability_offset)
            keep = (quality > settings.predicted_iou_threshold) & (stability >= settings.stability_threshold)
            found = Prediction(logits[keep][:, None], quality[keep][:, None], embedding.geometry).choose()
        stable = dataclasses.replace(found, stability=stability[keep].cpu().double().numpy())
        return stable.select(np.flatnonzero(found.areas > settings.min_region_area))

    def _heads(self, embedding: Embedding) -> tuple[Tensor, Tensor, Tensor]:
        """What the masks of one photo are made of: weights ``(cells, 3, K + 6)``, predicted IoUs, prototypes."""
        with self._autocast():
            features, (fine,) = embedding.features.to(self.dtype), embedding.extra
            weights, quality, prototypes = self._network.heads(features, fine.to(self.dtype))
        return weights[0].float(), quality[0].float(), prototypes[0].float()

    def _proposals(self, embedding: Embedding, overlap: float) -> tuple[Tensor, Tensor]:
        """Different masks of one photo, best first: low-resolution logits ``(n, h, w)``, predicted IoUs ``(n,)``."""
        weights, quality, pictures = self._heads(embedding)
        grid = embedding.features.shape[-1]
        scores, order = quality.flatten().sort(descending=True)
        each = weights.flatten(0, 1)[order][:, None]
        with torch.no_grad():
            masks = compose(each, order // MASKS, pictures, grid)[:, 0] > 0
        kept = _different(masks, self._inside_photo(embedding, masks), overlap)
        return compose(each[kept], order[kept] // MASKS, pictures, grid)[:, 0], scores[kept]

    def _inside_photo(self, embedding: Embedding, masks: Tensor) -> Tensor:
        """Which low-resolution pixels show the photo, not the padding."""
        inside = torch.zeros(masks.shape[-2:], dtype=torch.bool, device=masks.device)
        step = self.frame.side // masks.shape[-1]
        height, width = (-(-size // step) for size in embedding.geometry.resized)
        inside[:height, :width] = True
        return inside

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        if points is not None:
            return self._under(embedding, points, multimask)
        assert boxes is not None
        logits, quality = self._proposals(embedding, OVERLAP)
        boxes = boxes * logits.shape[-1] / self.frame.side
        masks = (logits.detach() > 0) & self._inside_photo(embedding, logits)
        fit = _box_ious(masks, boxes) * _ious(boxes, _bounds(masks))
        wanted = MASKS if multimask else 1
        best, which = fit.topk(min(wanted, len(masks)), dim=1)
        cut = _covered(boxes[:, 1], boxes[:, 3], masks.shape[1])[:, :, None]
        cut = cut * _covered(boxes[:, 0], boxes[:, 2], masks.shape[2])[:, None]
        there = (best > 0)[..., None, None] & (cut > 0)[:, None]
        answers = torch.where(there, logits[which], torch.full_like(logits[which], NOTHING))
        scores = torch.where(best > 0, quality[which], torch.zeros_like(best))
        missing = (0, wanted - best.shape[1])
        return F.pad(answers, (0, 0, 0, 0, *missing), value=NOTHING), F.pad(scores, missing)

    def _under(self, embedding: Embedding, points: Tensor, multimask: bool) -> tuple[Tensor, Tensor]:
        """The masks that the cells under points ``(p, 2)`` proposed, best first."""
        weights, quality, pictures = self._heads(embedding)
        grid = embedding.features.shape[-1]
        column, row = (points * grid / self.frame.side).long().clamp(0, grid - 1).unbind(1)
        cells = row * grid + column
        scores, order = quality[cells].sort(dim=1, descending=True)
        order = order[:, : MASKS if multimask else 1]
        chosen = weights[cells].gather(1, order[..., None].expand(-1, -1, weights.shape[-1]))
        return compose(chosen, cells, pictures, grid), scores[:, : order.shape[1]]


def _different(masks: Tensor, inside: Tensor, overlap: float) -> Tensor:
    """Indices of masks ``(n, h, w)`` bool, in order, that are not empty and not alike to an earlier one that stays."""
    flat = (masks & inside).flatten(1).cpu().numpy()
    bits = np.packbits(np.pad(flat, ((0, 0), (0, -flat.shape[1] % 64))), axis=1).view(np.uint64)
    areas = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    left, stays = np.flatnonzero(areas), []
    while len(left):
        best = left[0]
        stays.append(best)
        shared = np.bitwise_count(bits[left] & bits[best]).sum(axis=1, dtype=np.int64)
        left = left[shared <= overlap * (areas[left] + areas[best] - shared)]
        left = left[left != best]
    return torch.tensor(np.array(stays, np.int64), device=masks.device)


def _stability(logits: Tensor, offset: float) -> Tensor:
    outer = (logits > -offset).sum((-1, -2))
    return (logits > offset).sum((-1, -2)) / outer.clamp(min=1)


def _bounds(masks: Tensor) -> Tensor:
    """The boxes ``(n, 4)`` xyxy around masks ``(n, h, w)`` that are not empty; far edges exclusive."""
    sides = []
    for filled in (masks.any(dim=1), masks.any(dim=2)):
        low = filled.int().argmax(dim=1)
        high = filled.shape[1] - filled.flip(1).int().argmax(dim=1)
        sides.append(torch.stack([low, high]))
    return torch.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], dim=1).float()


def _ious(one: Tensor, other: Tensor) -> Tensor:
    """``(b, n)``: IoU of boxes ``(b, 4)`` and ``(n, 4)`` xyxy."""
    low = torch.maximum(one[:, None, :2], other[None, :, :2])
    high = torch.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    areas = (one[:, 2:] - one[:, :2]).prod(1)[:, None] + (other[:, 2:] - other[:, :2]).prod(1)
    return shared / (areas - shared).clamp(min=1e-6)


def _box_ious(masks: Tensor, boxes: Tensor) -> Tensor:
    """``(b, n)``: IoU of the pixels of boxes ``(b, 4)`` xyxy (shares of pixels at the edges count) and of masks."""
    height, width = masks.shape[-2:]
    rows = _covered(boxes[:, 1], boxes[:, 3], height)
    columns = _covered(boxes[:, 0], boxes[:, 2], width)
    shared = torch.einsum("bh,nhw,bw->bn", rows, masks.float(), columns)
    areas = (rows.sum(1) * columns.sum(1))[:, None] + masks.flatten(1).sum(1)
    return shared / (areas - shared).clamp(min=1e-6)


def _covered(low: Tensor, high: Tensor, count: int) -> Tensor:
    """How much of each of ``count`` unit steps lies between ``low`` and ``high``, ``(b, count)``."""
    edges = torch.arange(count, device=low.device, dtype=low.dtype)
    return (torch.minimum(edges + 1, high[:, None]) - torch.maximum(edges, low[:, None])).clamp(0, 1)


def load_nano_conv(folder: ModelFolder, options: LoadOptions) -> NanoConvSegmenter:
    """``config.json`` (format ``segrobust-nano-conv/1``) and ``model.safetensors``.

    Raises:
        ModelError: the weights are missing or do not fit the configuration.
    """
    model = NanoConv(NanoConvConfig(**read_sizes(folder)))
    load_weights(model, folder)
    return NanoConvSegmenter(model, folder.name, options, everything=folder.everything(), fingerprint=folder.digest())
