"""Score a model on annotated photos that were never trained on: the numbers of its card.

    python training/score.py --data DATA [--model nano] [--out card.json]

Regions of more than 1 % of the photo; for each the exact box, one point drawn uniformly inside, and the point
farthest from the region's edge. All three masks and the single mask are scored at the photo's resolution (BSDS500:
481 x 321; SA-1B: shrunk to 768).
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from photos import bsds
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from segrobust.io.images import read_image
from segrobust.io.sa1b import read_sa1b
from segrobust.models import load
from segrobust.models.base import WhiteBox
from segrobust.models.geometry import to_tensor
from segrobust.randomness import stream
from segrobust.types import Prompts

MIN_REGION = 0.01
CHUNK = 32


def bsds_test(data: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, pixels and masks ``(n, H, W)`` of the BSDS500 test photos: the regions of every annotator."""
    for name, photo in bsds(data / "bsds500", ("test",), long_side=100_000):
        masks = [m == r for m in photo.maps for r in np.unique(m[m > 0])]
        yield name, photo.image, np.stack([m for m in masks if m.mean() > MIN_REGION])


def sa1b(data: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The same of the annotated SA-1B photos, shrunk to 768 px to bound the time."""
    for path in sorted((data / "sa1b").glob("*.jpg")):
        image = read_image(path)
        masks = read_sa1b(path.with_suffix(".json"), size=image.size)
        scale = 768 / max(image.size)
        size = (round(image.height * scale), round(image.width * scale))
        pixels = F.interpolate(to_tensor(image.pixels)[None], size, mode="bilinear", antialias=True)[0]
        dense = [_shrink(m, size) for m in masks]
        kept = np.stack([m for m in dense if m.mean() > MIN_REGION])
        yield path.stem, (pixels.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), kept


def _shrink(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    small = F.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode="area")
    return (small[0, 0] > 0.5).numpy()


def prompts_for(name: str, masks: np.ndarray) -> dict[str, Prompts]:
    """Boxes, uniform points and centre points that ask for the masks."""
    draw = stream(0, "score", name)
    points, centres, boxes = [], [], []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        pick = draw.integers(len(rows))
        points.append((columns[pick], rows[pick]))
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        centres.append((x, y))
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return {"point": Prompts.of(points=points), "centre": Prompts.of(points=centres), "box": Prompts.of(boxes=boxes)}


def _part(prompts: Prompts, start: int) -> Prompts:
    return Prompts.of(points=prompts.points[start : start + CHUNK], boxes=prompts.boxes[start : start + CHUNK])


def _ious(logits: Tensor, truth: Tensor) -> Tensor:
    found = logits > 0
    return (found & truth).sum((-1, -2)) / (found | truth).sum((-1, -2)).clamp(min=1)


@torch.no_grad()
def score(model: WhiteBox, photos: Iterator[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The table of one data set."""
    columns: dict[str, list[Tensor]] = {}
    embeddings = []
    for name, pixels, masks in photos:
        embedding = model.embed(to_tensor(pixels))
        embeddings.append(embedding.features.flatten().cpu())
        truth = torch.from_numpy(masks)[:, None]
        for kind, prompts in prompts_for(name, masks).items():
            for start in range(0, len(masks), CHUNK):
                for multimask in (True, False):
                    out = model.masks(embedding, _part(prompts, start), multimask=multimask)
                    ious = _ious(out.geometry.restore(out.logits).cpu(), truth[start : start + CHUNK])
                    columns.setdefault(f"{kind}_{'three' if multimask else 'single'}", []).append(ious)
                    if multimask:
                        columns.setdefault(f"{kind}_predicted", []).append(out.predicted_iou.cpu())
    table = {key: torch.cat(values) for key, values in columns.items()}
    result: dict[str, float] = {"photos": len(embeddings), "regions": len(table["box_three"])}
    for kind in ("point", "centre", "box"):
        true, predicted = table[f"{kind}_three"], table[f"{kind}_predicted"]
        result[f"{kind}_best_of_three"] = true.amax(1).mean().item()
        result[f"{kind}_best_predicted"] = true.gather(1, predicted.argmax(1, keepdim=True)).mean().item()
        result[f"{kind}_single"] = table[f"{kind}_single"].mean().item()
        result[f"{kind}_rank_correlation"] = float(spearmanr(predicted.flatten(), true.flatten())[0])
    unit = F.normalize(torch.stack(embeddings), dim=1)
    result["cosine_between_photos"] = ((unit @ unit.T).sum() - len(unit)).item() / (len(unit) * (len(unit) - 1))
    return {key: round(value, 4) for key, value in result.items()}


def quick_score(folder: Path, data: Path) -> dict[str, float]:
    """The BSDS500 table of the model in a folder."""
    return score(load(str(folder)), bsds_test(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano", help="a name or folder, as in segrobust.load")
    parser.add_argument("--out", type=Path, help="write the table here as JSON")
    args = parser.parse_args()
    model = load(args.model)
    tables = {"bsds500_test": score(model, bsds_test(args.data)), "sa1b": score(model, sa1b(args.data))}
    text = json.dumps(tables, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
