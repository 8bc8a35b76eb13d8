"""A segmenter in one ONNX file; the contract is in docs/black-boxes.md."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from segrobust.errors import AnswerError
from segrobust.models.base import EverythingFirst, EverythingSettings
from segrobust.models.black_box import BlackBox, best_first, choose
from segrobust.models.geometry import resize, to_tensor
from segrobust.models.onnx_session import PhotoSlot, Session
from segrobust.types import Floats, Image, Masks, Prompts, encode_mask

PROMPTS = ("point_coords", "point_labels", "boxes")
PADDING, POINT, CORNERS = -1, 1, (2, 3)
"""Labels of ``point_coords``, as SAM's decoder has them."""
BATCH = 64
"""Prompts in one run of a graph that takes any number."""


class OnnxSegmenter(BlackBox):
    """A graph that answers prompts, or finds all masks if it takes none."""

    def __init__(self, name: str, session: Session) -> None:
        self._session = session
        self._photo = PhotoSlot.of(session)
        unknown = [n for n in session.inputs if n not in (*PROMPTS, self._photo.slot.name)]
        if unknown:
            raise session.refuse(f"nobody knows what to give to {', '.join(unknown)}")
        self._masks = "masks" if "masks" in session.outputs else next(iter(session.outputs))
        if len(session.outputs) > 1 and self._masks != "masks":
            raise session.refuse("none of its outputs is called 'masks'")
        self._batch, self._slots = _limits(session)
        has_points, has_boxes = "point_coords" in session.inputs, "boxes" in session.inputs
        super().__init__(
            name,
            points=has_points or self.prompt_free,
            boxes=has_boxes or (has_points and self._slots > 1) or self.prompt_free,
            everything=self.prompt_free,
            fingerprint=session.digest(),
        )

    @property
    def prompt_free(self) -> bool:
        """Whether the graph takes a photo only."""
        return not any(name in self._session.inputs for name in PROMPTS)

    def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
        photo, scale = self._feed(image)
        parts = []
        for kind, asked in (("points", prompts.points * scale), ("boxes", prompts.boxes * np.tile(scale, 2))):
            for start in range(0, len(asked), self._batch):
                part = asked[start : start + self._batch]
                parts.append(self._run(photo | self._prompts(kind, part), image, len(part)))
        rles = [rle for part in parts for rle in part.rles]
        return Masks.from_rles(image.size, rles, predicted_iou=np.concatenate([part.predicted_iou for part in parts]))

    def _feed(self, image: Image) -> tuple[dict[str, NDArray[Any]], Floats]:
        """The photo as the graph wants it, and how x and y are scaled on the way in."""
        pixels = to_tensor(image.pixels)
        size = self._photo.size or image.size
        if size != image.size:
            pixels = resize(pixels[None], size)[0]
        if self._photo.slot.dtype.kind == "u":
            pixels = pixels * 255
        return self._photo.feed(pixels), np.array([size[1] / image.width, size[0] / image.height])

    def _prompts(self, kind: str, asked: Floats) -> dict[str, NDArray[Any]]:
        """Prompts of one kind; where the other kind has an input of its own, it gets none."""
        inputs = self._session.inputs
        rows = np.zeros((0, self._slots, 2))
        labels = np.full((0, self._slots), PADDING)
        in_rows = kind == "points" or "boxes" not in inputs
        if in_rows:
            rows, labels = np.zeros((len(asked), self._slots, 2)), np.full((len(asked), self._slots), PADDING)
            if kind == "points":
                rows[:, 0], labels[:, 0] = asked, POINT
            else:
                rows[:, :2], labels[:, :2] = asked.reshape(-1, 2, 2), CORNERS
        given = {"point_coords": rows, "point_labels": labels, "boxes": np.zeros((0, 4)) if in_rows else asked}
        return {name: value for name, value in given.items() if name in inputs}

    def _run(self, feeds: dict[str, NDArray[Any]], image: Image, count: int | None) -> Masks:
        has_scores = "scores" in self._session.outputs
        masks, *rest = self._session.run([self._masks, *(["scores"] if has_scores else [])], feeds)
        who = f"{self._session.file}"
        if masks.ndim == 4 and 1 in masks.shape[:2]:
            masks = masks.reshape(-1, *masks.shape[2:])
        if masks.ndim != 3 or (count is not None and len(masks) != count):
            asked = "(n, H, W)" if count is None else f"({count}, H, W), one for each prompt"
            raise AnswerError(f"{who} answered masks of shape {masks.shape}; they must be {asked}")
        scores = rest[0].reshape(-1) if rest else None
        if scores is not None and len(scores) != len(masks):
            raise AnswerError(f"{who} answered {len(scores)} scores for {len(masks)} masks")
        rles = [encode_mask(mask) for mask in _restored(masks, image.size)]
        return Masks.from_rles(image.size, rles, predicted_iou=None if scores is None else scores.astype(np.float64))


class FindingOnnxSegmenter(OnnxSegmenter, EverythingFirst):
    """A graph that finds all masks; prompts choose among them."""

    def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
        return choose(self.find_masks(image, self.everything), prompts)

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks that the graph finds, best first; the settings are for others."""
        return best_first(self._run(self._feed(image)[0], image, None))


def _restored(masks: NDArray[Any], size: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """Masks ``(n, h, w)`` at the photo's size, one after the other: logits or 0 and 1, bilinear."""
    for mask in masks:
        logits = mask.astype(np.float32) if mask.dtype.kind == "f" else np.where(mask, np.float32(1), np.float32(-1))
        if logits.shape != size:
            tensor = torch.from_numpy(logits)[None, None]
            logits = F.interpolate(tensor, size, mode="bilinear", align_corners=False)[0, 0].numpy()
        yield logits > 0


def _limits(session: Session) -> tuple[int, int]:
    """How many prompts a run takes, and how many points a row of ``point_coords`` has.

    Raises:
        ModelError: prompts that have another shape than the contract's.
    """
    inputs = session.inputs
    ranks = {"point_coords": 3, "point_labels": 2, "boxes": 2}
    for name, rank in ranks.items():
        if name in inputs and len(inputs[name].shape) != rank:
            raise session.refuse(f"{name} must have {rank} dimensions")
    if ("point_coords" in inputs) != ("point_labels" in inputs):
        raise session.refuse("point_coords and point_labels go together")
    counts = {name: inputs[name].shape[0] for name in PROMPTS if name in inputs}
    if "boxes" in counts and len(counts) > 1 and any(count is not None for count in counts.values()):
        raise session.refuse("where boxes have an input of their own, the number of prompts must not be fixed")
    if any(count not in (None, 1) for count in counts.values()):
        raise session.refuse("the number of prompts must not be fixed, or be 1")
    slots = inputs["point_coords"].shape[1] if "point_coords" in inputs else None
    return (1 if 1 in counts.values() else BATCH), slots or 2
