"""FastSAM: a YOLOv8 segmentation network that finds all masks first; prompts choose among them.

Source: FastSAM (Zhao et al. 2023, arXiv 2306.12156) in its maintained form, ``ultralytics.models.fastsam``: the same
letterbox, thresholds, NMS and masks. The network is built by ultralytics, whose licence is AGPL-3.0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.models.base import Embedding, EverythingFirst, EverythingSettings, Promptable
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.everything_first import answer_boxes, answer_points, box_candidates, point_candidates
from segrobust.models.frame import Frame
from segrobust.models.letterbox import STRIDE, Letterbox, paddings
from segrobust.models.options import LoadOptions
from segrobust.models.ultralytics_parts import LetterBox, TorchNMS, process_mask_native, scale_boxes, xywh2xyxy
from segrobust.types import Image, Masks, Prompts, encode_mask

GREY = 114 / 255
"""The padding's colour."""
NOTHING = -10.0
"""The logit outside a mask's box, and of an empty mask."""
COARSER = 4
"""The prototypes' resolution is the input's divided by this."""
SA1B_SIDE = 2272
"""Where photos keep their size, the side for which the memory of a gradient is foreseen: that of SA-1B's photos."""
CHUNK = 16
"""Masks brought to the photo's resolution at a time."""


@dataclass(frozen=True)
class FastSamSettings(EverythingSettings):
    """Settings of FastSAM; masks are always made at the photo's resolution (``retina_masks``).

    Of those of ``EverythingSettings`` only these mean something here: ``predicted_iou_threshold`` is the confidence
    and ``box_nms_threshold`` the IoU of the NMS.

    Attributes:
        image_size: the photo's long side is scaled to it (1024: RGA's evaluation); 0 = left as it is (UAD's).
        max_masks: no more are kept, best first.
    """

    predicted_iou_threshold: float = 0.4
    box_nms_threshold: float = 0.9
    stability_threshold: float = 0.0
    image_size: int = 1024
    max_masks: int = 300


class _Found(NamedTuple):
    """What the network found on one photo, best first."""

    boxes: Tensor  # (n, 4) xyxy in pixels of the input
    scores: Tensor  # (n,)
    coefficients: Tensor  # (n, 32)
    prototypes: Tensor  # (32, h, w), at a quarter of the input's resolution


class FastSam(EncoderSegmenter, EverythingFirst):
    """FastSAM behind the interfaces: a black box by the official rules, and a white box for attacks on its features.

    ``answer`` and ``find_masks`` do what ultralytics' predictor does, from the 8-bit photo. A point is answered by the
    union of the masks that contain it (rule ``best``: the one with the highest confidence), a box by the mask that fits
    it best, either by an empty mask if there is none.

    The features (``encode``) are the middle one of the three levels that the network's head looks at: P4, stride 16 as
    SAM's embedding. ``embed`` and ``masks`` are differentiable; logits lie at a quarter of the input's resolution.

    Args:
        model: ultralytics' ``SegmentationModel`` with one class.
        name: for tables.
        options: device and precision; the head stays in float32.
        everything: thresholds and image size.
        fingerprint: sha256 of the weights.
    """

    everything: FastSamSettings
    module: Any

    def __init__(
        self,
        model: Any,
        name: str,
        options: LoadOptions,
        *,
        everything: FastSamSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        settings = everything or FastSamSettings()
        frame = Frame(settings.image_size or SA1B_SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        super().__init__(name, options, frame, settings, fingerprint)
        self.module = model.to(self.device).eval().requires_grad_(False)
        *body, self._head = self.module.model
        for layer in body:
            layer.to(self.dtype)
        self._body = body
        self._encoder_layers = tuple(body)

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """One mask for each prompt, points first, then boxes; see the class for ``rule``.

        Raises:
            ValueError: a rule other than ``single`` and ``best``.
        """
        if rule not in ("single", "best"):
            raise ValueError(f"rule must be 'single' or 'best', got {rule!r}")
        found = self.find_masks(image, self.everything)
        points = answer_points(found, prompts.points, "union" if rule == "single" else "best")
        boxes = answer_boxes(found, prompts.boxes)
        scores = np.concatenate([points.predicted_iou, boxes.predicted_iou])
        return Masks.from_rles(image.size, points.rles + boxes.rles, predicted_iou=scores)

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks on the photo, best first; one without pixels is dropped, as in the source.

        Args:
            image: the photo.
            settings: the thresholds and, of a :class:`FastSamSettings`, the number of masks; the image size is the
                model's own, so that prompts and this see the same.
        """
        geometry = self.geometry(image.size)
        squared = LetterBox((geometry.side, geometry.side), auto=True, stride=STRIDE)(image=image.pixels)
        inputs = torch.from_numpy(np.array(squared)).to(self.device).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            features, others = self._run(inputs)
            found = self._detect(features, others, settings)
            boxes = scale_boxes(inputs.shape[2:], found.boxes.clone(), image.size)
            rles, scores = [], []
            for part in torch.arange(len(boxes)).split(CHUNK):
                masks = process_mask_native(found.prototypes, found.coefficients[part], boxes[part], image.size)
                for mask, score in zip(masks.bool().cpu().numpy(), found.scores[part].tolist(), strict=True):
                    if mask.any():
                        rles.append(encode_mask(mask))
                        scores.append(score)
        return Masks.from_rles(image.size, rles, predicted_iou=scores)

    def geometry(self, size: tuple[int, int]) -> Letterbox:
        """How a photo of ``size`` (height, width) lies in the network's input."""
        return Letterbox.of(size, self.everything.image_size or max(size))

    def resize(self, images: Tensor) -> Tensor:
        """Photos ``(B, 3, H, W)`` in [0, 1] to the network's resolution: bilinear without antialias, as the source.

        The source rounds to 8 bits, this does not.
        """
        height, width = images.shape[-2:]
        size = self.geometry((height, width)).resized
        if size == (height, width):
            return images
        return F.interpolate(images, size, mode="bilinear", align_corners=False)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Resized pixels in [0, 1] to the input: grey on all sides up to multiples of 32; nothing is normalised."""
        height, width = pixels.shape[-2:]
        return F.pad(pixels, paddings((height, width)), value=GREY)

    def embed_photos(self, photos: Sequence[Image]) -> list[Embedding]:
        """Photos one by one: their inputs differ in size."""
        return Promptable.embed_photos(self, photos)

    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The three levels that the head looks at: P4, then P3 and P5."""
        kept: list[Tensor] = []
        x: Any = inputs
        for layer in self._body:
            if layer.f != -1:
                x = kept[layer.f] if isinstance(layer.f, int) else [x if j == -1 else kept[j] for j in layer.f]
            x = layer(x)
            kept.append(x)
        fine, middle, coarse = (kept[j] for j in self._head.f)
        return middle, (fine.float(), coarse.float())

    def _detect(self, features: Tensor, others: tuple[Tensor, ...], settings: EverythingSettings) -> _Found:
        """The head on one photo's levels, thresholds and NMS; differentiable but for the choice."""
        fine, coarse = others
        with torch.autocast(self.device.type, enabled=False):
            (raw, prototypes), _ = self._head([fine, features, coarse])
        rows = raw[0].T
        rows = rows[rows[:, 4] > settings.predicted_iou_threshold]
        boxes, scores = xywh2xyxy(rows[:, :4]), rows[:, 4]
        limit = settings.max_masks if isinstance(settings, FastSamSettings) else self.everything.max_masks
        stays = TorchNMS.nms(boxes.detach(), scores.detach(), settings.box_nms_threshold)[:limit]
        return _Found(boxes[stays], scores[stays], rows[stays, 5:], prototypes[0])

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        found = self._detect(embedding.features, embedding.extra, self.everything)
        logits = _low_resolution_logits(found)
        scores = found.scores.detach()
        masks = Masks.from_dense((logits.detach() > 0).cpu().numpy(), predicted_iou=scores.cpu().double().numpy())
        if points is not None:
            chosen = point_candidates(masks, points.cpu().double().numpy() / COARSER - 0.5, 3 if multimask else None)
        else:
            assert boxes is not None
            chosen = box_candidates(masks, boxes.cpu().double().numpy() / COARSER, 3 if multimask else 1)
        empty = NOTHING + 0 * found.prototypes.sum(0)  # connected to the photo, though nothing can be gained there
        answers, quality = [], []
        for which in chosen:
            each = [logits[i] for i in which]
            if not multimask and each:
                each = [torch.stack(each).amax(0)]
            k = 3 if multimask else 1
            ious = [float(scores[i]) for i in which][:k]
            answers.append(torch.stack(each + [empty] * (k - len(each))))
            quality.append(ious + [0.0] * (k - len(ious)))
        return torch.stack(answers), torch.tensor(quality, device=logits.device)


def _low_resolution_logits(found: _Found) -> Tensor:
    """Logits ``(n, h, w)`` at the prototypes' resolution; outside a mask's box there is nothing."""
    height, width = found.prototypes.shape[1:]
    logits = (found.coefficients @ found.prototypes.flatten(1)).view(-1, height, width)
    x0, y0, x1, y1 = (found.boxes.detach() / COARSER)[:, :, None, None].unbind(1)
    x = torch.arange(width, device=logits.device)
    y = torch.arange(height, device=logits.device)[:, None]
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    return torch.where(inside, logits, torch.full_like(logits, NOTHING))
