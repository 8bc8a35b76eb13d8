"""Score an embedded model on the BSDS500 test photos: the numbers of its card.

python training/score.py --data DATA [--weights FOLDER]
"""

from pathlib import Path

import numpy as np
import torch
from photos import Annotated, bsds
from torch.nn import functional as F

from segrobust.models.nano import NanoSam

MIN_REGION = 0.01


def prompts_of(photo: Annotated, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One uniformly drawn point and the exact box of every region above 1 % of the photo, of every annotator.

    Returns:
        points ``(n, 2)`` xy, boxes ``(n, 4)`` xyxy, masks ``(n, H, W)`` bool.
    """
    points, boxes, masks = [], [], []
    for regions in photo.maps:
        numbers, counts = np.unique(regions, return_counts=True)
        for number in numbers[(counts > MIN_REGION * regions.size) & (numbers > 0)]:
            mask = regions == number
            rows, columns = np.nonzero(mask)
            pick = rng.integers(len(rows))
            points.append((columns[pick], rows[pick]))
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            masks.append(mask)
    return np.array(points, np.float32), np.array(boxes, np.float32), np.array(masks)


def _iou(logits: torch.Tensor, scale: float, truth: torch.Tensor) -> torch.Tensor:
    height, width = truth.shape[-2:]
    side = logits.shape[-1] * 2
    full = F.interpolate(logits.float(), (side, side), mode="bilinear", align_corners=False)
    full = full[..., : round(height * scale), : round(width * scale)]
    found = F.interpolate(full, (height, width), mode="bilinear", align_corners=False) > 0
    return (found & truth).sum((-1, -2)) / (found | truth).sum((-1, -2)).clamp(min=1)


@torch.no_grad()
def quick_score(model: NanoSam, data: Path, photos: int = 50) -> dict[str, float]:
    """mIoU of points and boxes (best of three, single mask), cosine between photos, rank of the predicted IoU."""
    from batches import MEAN, STD
    from scipy.stats import spearmanr
    from train import decode_all

    model.eval()
    rng = np.random.default_rng(0)
    size = model.nano_config.image_size
    rows: dict[str, list[torch.Tensor]] = {}
    embeddings = []
    for _, photo in list(bsds(data / "bsds500", ("test",)))[:photos]:
        scale = size / max(photo.image.shape[:2])
        points, boxes, masks = prompts_of(photo, rng)
        pixels = torch.from_numpy(photo.image).permute(2, 0, 1)[None].float()
        shape = (round(pixels.shape[2] * scale), round(pixels.shape[3] * scale))
        pixels = F.interpolate(pixels, shape, mode="bilinear", antialias=True, align_corners=False)
        pixels = (pixels - torch.from_numpy(MEAN).view(3, 1, 1)) / torch.from_numpy(STD).view(3, 1, 1)
        embedding = model.vision_encoder(F.pad(pixels, (0, size - shape[1], 0, size - shape[0])))
        embeddings.append(embedding.flatten())
        truth = torch.from_numpy(masks)[:, None]
        asked = torch.from_numpy(points * scale)[None, :, None]
        sparse, dense = model.prompt_encoder(asked, torch.ones(asked.shape[:3], dtype=torch.long), None, None)
        boxed, _ = model.prompt_encoder(None, None, torch.from_numpy(boxes * scale)[None], None)
        for kind, prompt in (("point", sparse), ("box", boxed)):
            for chunk in range(0, len(points), 64):
                logits, predicted = decode_all(model, embedding, prompt[:, chunk : chunk + 64], dense)
                ious = _iou(logits[0], scale, truth[chunk : chunk + 64])
                rows.setdefault(kind, []).append(ious)
                rows.setdefault(kind + "_predicted", []).append(predicted[0])
    table = {key: torch.cat(value) for key, value in rows.items()}
    unit = F.normalize(torch.stack(embeddings), dim=1)
    cosines = unit @ unit.T
    result = {"regions": len(table["point"])}
    for kind in ("point", "box"):
        result[f"{kind}_best3"] = table[kind][:, 1:].amax(1).mean().item()
        result[f"{kind}_single"] = table[kind][:, 0].mean().item()
        result[f"{kind}_rank"] = float(
            spearmanr(table[f"{kind}_predicted"][:, 1:].flatten(), table[kind][:, 1:].flatten())[0]
        )
    result["cosine"] = (cosines.sum() - len(unit)).item() / (len(unit) * (len(unit) - 1))
    model.train()
    return {k: round(v, 4) for k, v in result.items()}
