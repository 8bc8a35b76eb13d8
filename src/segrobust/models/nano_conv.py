"""``nano-conv`` behind the interfaces: it finds all masks first, and prompts choose among them."""

from typing import Any

import torch
from torch import Tensor, nn

from segrobust.models.base import Embedding, EverythingFirst, EverythingSettings, Prediction
from segrobust.models.encoder import EncoderSegmenter, Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD, to_tensor
from segrobust.models.loading import ModelFolder
from segrobust.models.nano_conv_net import MASKS, NanoConv, NanoConvConfig, compose
from segrobust.models.nano_loading import load_weights
from segrobust.models.options import LoadOptions
from segrobust.types import Image, Masks, encode_mask

CANDIDATES = 400
"""Proposals, best first, that are composed and compared; the rest of the grid's are dropped unseen."""
OVERLAP = 0.7
"""Of two masks with a higher IoU the one with the lower predicted IoU goes; for prompts, before any other filter."""
NOTHING = -10.0
"""The logit of an empty mask."""


class NanoConvSegmenter(EncoderSegmenter, EverythingFirst):
    """An everything-first segmenter with gradients.

    A point is answered by the best mask (highest predicted IoU) that contains it, with ``multimask`` by the best three;
    a box by the mask whose pixels' IoU with the box is highest, with ``multimask`` by the three highest. No mask there:
    an empty answer. FastSAM's own rule for points, the union of all masks that contain it, is not used: three nested
    masks of a cell would always give the largest.

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
            found = Prediction(logits[keep][:, None], quality[keep][:, None], embedding.geometry)
            full = [found.full_mask(i, 0) for i in range(len(found.logits))]
        there = [i for i, mask in enumerate(full) if mask.sum() > settings.min_region_area]
        scores, stable = quality[keep].cpu().double().numpy(), stability[keep].cpu().double().numpy()
        rles = [encode_mask(full[i]) for i in there]
        return Masks.from_rles(image.size, rles, predicted_iou=scores[there], stability=stable[there])

    def _proposals(self, embedding: Embedding, overlap: float) -> tuple[Tensor, Tensor]:
        """Different masks of one photo, best first: low-resolution logits ``(n, h, w)``, predicted IoUs ``(n,)``."""
        with self._autocast():
            features, (fine,) = embedding.features.to(self.dtype), embedding.extra
            weights, quality, prototypes = self._network.heads(features, fine.to(self.dtype))
        grid = features.shape[-1]
        scores, order = quality[0].float().flatten().sort(descending=True)
        chosen, scores = order[:CANDIDATES], scores[:CANDIDATES]
        cells = chosen // MASKS
        each = weights[0].float().flatten(0, 1)[chosen][:, None]
        logits = compose(each, cells, prototypes[0].float(), grid)[:, 0]
        inside = self._inside_photo(embedding, logits)
        kept = _different(logits.detach() > 0, inside, overlap)
        return logits[kept], scores[kept]

    def _inside_photo(self, embedding: Embedding, logits: Tensor) -> Tensor:
        """Which low-resolution pixels show the photo, not the padding."""
        inside = torch.zeros(logits.shape[-2:], dtype=torch.bool, device=logits.device)
        step = self.frame.side // logits.shape[-1]
        height, width = (-(-size // step) for size in embedding.geometry.resized)
        inside[:height, :width] = True
        return inside

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        logits, quality = self._proposals(embedding, OVERLAP)
        masks = logits.detach() > 0
        if points is None:
            assert boxes is not None
            fit = _box_ious(masks, boxes * masks.shape[-1] / self.frame.side)
        else:
            fit = quality.detach() * _contains(masks, points * masks.shape[-1] / self.frame.side)
        k = min(MASKS if multimask else 1, len(masks))
        best, which = fit.topk(k, dim=1)
        found = best > 0
        answers = torch.where(found[..., None, None], logits[which], torch.full_like(logits[which], NOTHING))
        scores = torch.where(found, quality[which], torch.zeros_like(best))
        missing = (MASKS if multimask else 1) - k
        if missing:
            answers = torch.cat([answers, answers.new_full((len(fit), missing, *masks.shape[-2:]), NOTHING)], dim=1)
            scores = torch.cat([scores, scores.new_zeros((len(fit), missing))], dim=1)
        return answers, scores


def _different(masks: Tensor, inside: Tensor, overlap: float) -> Tensor:
    """Indices of masks ``(n, h, w)`` bool, in order, that are not empty and not alike to an earlier one that stays."""
    flat = (masks & inside).flatten(1).float()
    areas = flat.sum(1)
    shared = flat @ flat.T
    alike = (shared / (areas[:, None] + areas - shared).clamp(min=1) > overlap).cpu()
    stays: list[int] = []
    for i in torch.nonzero(areas > 0)[:, 0].tolist():
        if not stays or not alike[i, stays].any():
            stays.append(i)
    return torch.tensor(stays, dtype=torch.int64, device=masks.device)


def _stability(logits: Tensor, offset: float) -> Tensor:
    outer = (logits > -offset).sum((-1, -2))
    return (logits > offset).sum((-1, -2)) / outer.clamp(min=1)


def _contains(masks: Tensor, points: Tensor) -> Tensor:
    """``(p, n)``: 1 where a mask ``(n, h, w)`` holds the pixel under a point ``(p, 2)`` xy, else 0."""
    x = points[:, 0].floor().long().clamp(0, masks.shape[-1] - 1)
    y = points[:, 1].floor().long().clamp(0, masks.shape[-2] - 1)
    return masks[:, y, x].T.float()


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
    sizes: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in folder.config["architecture"].items()
    }
    model = NanoConv(NanoConvConfig(**sizes))
    load_weights(model, folder)
    return NanoConvSegmenter(model, folder.name, options, everything=folder.everything(), fingerprint=folder.digest())
