"""Turn training photos and drawn scenes into batches: geometry and colour augmentation, prompts, targets."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from photos import Annotated
from torch import Tensor

# How often a photo of each set is drawn. BSDS500 annotates every pixel, so it teaches most per photo;
# DAVIS has 70 frames of only 14 scenes.
SET_WEIGHTS = {"bsds500": 0.62, "coco": 0.22, "voc": 0.06, "davis": 0.04, "camvid": 0.06}
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
MIN_AREA = 0.003


@dataclass
class Batch:
    """B images with P prompts each.

    Attributes:
        pixels: ``(B, 3, S, S)`` normalised.
        points: ``(B, P1, N, 2)`` xy in model pixels, with ``labels`` ``(B, P1, N)`` (1 inside, 0 outside, -1 unused).
        boxes: ``(B, P2, 4)`` xyxy, or None.
        targets: ``(B, P1 + P2, S / 4, S / 4)`` share of each low-resolution pixel inside the asked region.
        tokens: ``(B, (S / 16)**2)`` region number at each embedding token, 0 = unknown.
        regions: ``(B, S, S)`` region number at each pixel, 0 = unknown.
    """

    pixels: Tensor
    points: Tensor
    labels: Tensor
    boxes: Tensor | None
    targets: Tensor
    tokens: Tensor
    regions: Tensor


class Sampler:
    """Draws batches from photos (by name) and scenes (files of pixels, files of region maps)."""

    def __init__(
        self, photos: dict[str, Annotated], scenes: tuple[list[np.ndarray], list[np.ndarray]], size: int, seed: int
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.size = size
        self.scenes = scenes
        self.photos = list(photos.values())
        sets = [name.split("/")[0] for name in photos]
        weights = np.array([SET_WEIGHTS[s] / sets.count(s) for s in sets])
        self.weights = weights / weights.sum()

    def batch(self, images: int, prompts: int, scene_share: float, several_points: bool) -> Batch:
        """Draw a batch; with ``several_points`` prompts are 1-5 points, otherwise half one point, half boxes."""
        samples = []
        while len(samples) < images:
            pixels, regions = self._image(scene_share)
            numbers, counts = np.unique(regions, return_counts=True)
            keep = (numbers > 0) & (counts >= MIN_AREA * self.size**2)
            if keep.any():
                samples.append((pixels, regions, self.rng.choice(numbers[keep], prompts)))
        regions = torch.from_numpy(np.stack([s[1] for s in samples]).astype(np.int64))
        asked = torch.from_numpy(np.stack([s[2] for s in samples]).astype(np.int64))
        masks = regions[:, None] == asked[:, :, None, None]
        targets = torch.nn.functional.avg_pool2d(masks.float(), 4)
        half = prompts if several_points else prompts // 2
        shots = 5 if several_points else 1
        points, labels, boxes = [], [], []
        for mask in masks[:, :half].numpy():
            drawn = [self._points(m, shots) for m in mask]
            points.append([d[0] for d in drawn])
            labels.append([d[1] for d in drawn])
        for mask in masks[:, half:].numpy():
            boxes.append([self._box(m) for m in mask])
        return Batch(
            pixels=torch.from_numpy(np.stack([s[0] for s in samples])).permute(0, 3, 1, 2),
            points=torch.from_numpy(np.array(points, np.float32)),
            labels=torch.from_numpy(np.array(labels, np.int64)),
            boxes=torch.from_numpy(np.array(boxes, np.float32)) if half < prompts else None,
            targets=targets,
            tokens=regions[:, 8::16, 8::16].flatten(1),
            regions=regions,
        )

    def _image(self, scene_share: float) -> tuple[np.ndarray, np.ndarray]:
        rng = self.rng
        if rng.random() < scene_share:
            file = rng.integers(len(self.scenes[0]))
            index = rng.integers(len(self.scenes[0][file]))
            image, regions = np.array(self.scenes[0][file][index]), np.array(self.scenes[1][file][index])
        else:
            photo = self.photos[rng.choice(len(self.photos), p=self.weights)]
            image, regions = photo.image, photo.maps[rng.integers(len(photo.maps))]
        image, regions, inside = self._warp(image, regions)
        return self._colour(image) * inside[..., None], regions

    def _warp(self, image: np.ndarray, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As at inference (whole photo, padded) one time in four, else a random crop, turn, stretch; always a flip."""
        rng, size = self.rng, self.size
        height, width = regions.shape
        scale = size / max(height, width)
        flip = -1.0 if rng.random() < 0.5 else 1.0
        if rng.random() < 0.25:
            matrix = np.array([[flip * scale, 0, 0 if flip > 0 else width * scale], [0, scale, 0]])
        else:
            zoom = scale * np.exp(rng.uniform(np.log(0.9), np.log(2.4)))
            stretch = np.exp(rng.normal(0, 0.12))
            angle = np.deg2rad(rng.normal(0, 8)) if rng.random() < 0.5 else 0.0
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            linear = turn @ np.diag([flip * zoom * stretch, zoom / stretch])
            # Keep the crop inside the photo where it fits.
            reach = 0.5 * size / np.array([zoom * stretch, zoom / stretch])
            low, high = (
                np.minimum(reach, [width / 2, height / 2]),
                np.maximum([width, height] - reach, [width / 2, height / 2]),
            )
            centre = rng.uniform(low, high)
            matrix = np.concatenate([linear, (size / 2 - linear @ centre)[:, None]], 1)
        matrix = matrix.astype(np.float32)
        shrinking = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < 0.7
        if shrinking:  # warpAffine does not antialias
            image = cv2.GaussianBlur(image, (0, 0), 0.6)
        inside = cv2.warpAffine(np.ones((height, width), np.float32), matrix, (size, size), flags=cv2.INTER_NEAREST)
        image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        regions = cv2.warpAffine(regions, matrix, (size, size), flags=cv2.INTER_NEAREST, borderValue=0)
        return image, regions, inside

    def _colour(self, image: np.ndarray) -> np.ndarray:
        rng = self.rng
        x = image.astype(np.float32)
        if rng.random() < 0.8:
            grey = x.mean(2, keepdims=True)
            x = grey + (x - grey) * rng.uniform(0.3, 1.4)
            # Down to hazy photos: small differences must mean as much there as large ones elsewhere.
            contrast = float(np.exp(rng.uniform(np.log(0.12), np.log(1.4))))
            middle = float(x.mean()) + rng.uniform(-60, 60) * (1 - min(contrast, 1))
            x = (x - x.mean()) * contrast + middle + rng.uniform(-20, 20)
            x = x * rng.uniform(0.9, 1.1, 3).astype(np.float32)
        if rng.random() < 0.1:
            x = x[..., rng.permutation(3)]
        if rng.random() < 0.1:
            x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.0))
        return (np.clip(x, 0, 255) - MEAN) / STD

    def _points(self, mask: np.ndarray, shots: int) -> tuple[np.ndarray, np.ndarray]:
        inside = np.flatnonzero(mask)
        points, labels = np.zeros((shots, 2), np.float32), np.full(shots, -1)
        used = int(self.rng.integers(1, shots + 1))
        for k in range(used):
            negative = k > 0 and self.rng.random() < 0.3
            where = np.flatnonzero(~mask) if negative else inside
            if len(where):
                pick = where[self.rng.integers(len(where))]
                points[k], labels[k] = (pick % self.size, pick // self.size), int(not negative)
        return points, labels

    def _box(self, mask: np.ndarray) -> np.ndarray:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
        sides = np.tile(box[2:] - box[:2], 2)
        return np.clip(box + self.rng.normal(0, 0.04, 4) * sides, 0, self.size).astype(np.float32)
