"""Segmenters that see what is bright: what stands in front of them shows in their answers."""

import numpy as np
from scipy import ndimage

from segrobust.models.base import Capabilities, EverythingSettings
from segrobust.types import Image, Masks, Prompts


class Bright:
    """A black box: a point gets the bright region it lies in, a box the bright pixels inside it."""

    name = "bright"
    everything = EverythingSettings(points_per_side=6, predicted_iou_threshold=0)

    def __init__(self, level: int = 140, points: bool = True, boxes: bool = True) -> None:
        self.level = level
        self.seen: list[Image] = []
        self.asked: list[Prompts] = []
        self.capabilities = Capabilities(False, points, boxes, points)

    def regions(self, image: Image):
        return ndimage.label(image.pixels.mean(axis=2) > self.level)

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        self.seen.append(image)
        self.asked.append(prompts)
        labels, _ = self.regions(image)
        dense = np.zeros((len(prompts), *image.size), np.bool_)
        for i, (x, y) in enumerate(prompts.points.round().astype(int)):
            if 0 <= y < image.height and 0 <= x < image.width and labels[y, x]:
                dense[i] = labels == labels[y, x]
        for i, (x0, y0, x1, y1) in enumerate(prompts.boxes.round().astype(int), len(prompts.points)):
            dense[i, max(y0, 0) : y1, max(x0, 0) : x1] = labels[max(y0, 0) : y1, max(x0, 0) : x1] > 0
        return Masks.from_dense(dense, predicted_iou=np.full(len(dense), 0.9))


class BrightFirst(Bright):
    """The same, which finds all its regions by itself."""

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        self.seen.append(image)
        labels, count = self.regions(image)
        dense = np.stack([labels == i + 1 for i in range(count)]) if count else np.zeros((0, *image.size), np.bool_)
        return Masks.from_dense(dense, predicted_iou=np.linspace(0.9, 0.8, count))
