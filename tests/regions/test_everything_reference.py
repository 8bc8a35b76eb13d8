"""regions/everything.py against a brute-force reading of SAM's generator."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage

from segrobust import segment_everything
from segrobust.models.base import (
    Capabilities,
    Embedding,
    EverythingSettings,
    Prediction,
    Promptable,
    Segmenter,
    WhiteBox,
)
from segrobust.models.geometry import to_tensor
from segrobust.regions.boxes import box_nms, crop_boxes, cut_by_crop, point_grid
from segrobust.types import Image, Prompts


class Local(Promptable):
    """The tiny SAM with its logits made contrasty and faded around the point: untrained, it finds only whole photos."""

    name = "local"
    capabilities = Capabilities(gradient=True, points=True, boxes=True, everything=True)

    def __init__(self, sam: WhiteBox) -> None:
        self._sam = sam
        self.everything = EverythingSettings()
        self.embed = sam.embed

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        raw = self._sam.masks(embedding, prompts, multimask=multimask)
        place = torch.from_numpy(raw.geometry.to_model(prompts.points) / 4).float()[..., None, None]
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        distance = ((x - place[:, 0]) ** 2 + (y - place[:, 1]) ** 2).sqrt()[:, None]
        radius = torch.tensor([5.0, 10.0, 30.0])[:, None, None]
        contrast = raw.logits - raw.logits.mean(dim=(2, 3), keepdim=True)
        return dataclasses.replace(raw, logits=4 * contrast + 8 * (1 - distance / radius))


def brute_force(
    segmenter: Segmenter, image: Image, s: EverythingSettings
) -> tuple[list[NDArray[np.bool_]], NDArray[np.float64]]:
    """SAM's generator read literally: every mask at full resolution; masks and (predicted IoU, stability, x, y)."""
    found: list[tuple[NDArray[np.bool_], tuple[int, ...], tuple[float, ...], int]] = []
    for crop in crop_boxes(image.size, s.crop_layers, s.crop_overlap):
        of_crop = []
        embedding = segmenter.embed(to_tensor(image.pixels[crop.y0 : crop.y1, crop.x0 : crop.x1])[None])
        for x, y in point_grid(s.points_per_side, crop.size):
            answer = segmenter.masks(embedding, Prompts.of(points=[(x, y)]), multimask=True)
            for full, iou in zip(
                answer.geometry.restore(answer.logits)[0].numpy(), answer.predicted_iou[0], strict=True
            ):
                stability = (full > s.stability_offset).sum() / max(1, (full > -s.stability_offset).sum())
                mask = np.zeros(image.size, np.bool_)
                mask[crop.y0 : crop.y1, crop.x0 : crop.x1] = full > 0
                rows, columns = np.nonzero(mask)
                if iou <= s.predicted_iou_threshold or stability < s.stability_threshold or not len(rows):
                    continue
                box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
                if not cut_by_crop(box, crop, image.size):
                    of_crop.append((mask, box, (float(iou), stability, x + crop.x0, y + crop.y0), crop.area))
        boxes = np.array([c[1] for c in of_crop], float).reshape(-1, 4)
        keep = box_nms(boxes, np.array([c[2][0] for c in of_crop]), s.box_nms_threshold)
        found += [of_crop[i] for i in keep]
    if s.crop_layers:
        areas = np.array([1 / c[3] for c in found])
        found = [found[i] for i in box_nms(np.array([c[1] for c in found], float), areas, s.crop_nms_threshold)]
    return [c[0] for c in found], np.array([c[2] for c in found])


@pytest.mark.parametrize("layers", [0, 1])
def test_same_as_brute_force(tiny_sam: WhiteBox, root: str, layers: int) -> None:
    pixels = np.array(PilImage.open(f"{root}/tests/golden/image.png").convert("RGB"))
    segmenter = Local(tiny_sam)
    settings = EverythingSettings(
        points_per_side=6,
        points_per_batch=10,
        predicted_iou_threshold=1e-6,
        stability_threshold=0.42,
        crop_layers=layers,
    )
    masks = segment_everything(segmenter, Image(pixels), settings)
    wanted, columns = brute_force(segmenter, Image(pixels), settings)
    assert len(masks) == len(wanted) > 5
    # Float rounding may move a logit of almost 0 across it: a pixel in ten thousand.
    assert np.mean(masks.dense() != np.stack(wanted)) < 1e-4
    ours = np.column_stack([masks.predicted_iou, masks.stability, masks.points])
    np.testing.assert_allclose(ours, columns, atol=1e-4)
