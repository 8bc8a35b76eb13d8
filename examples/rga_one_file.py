"""The Region-Guided Attack (Liu, Shen, Zhao, arXiv 2411.02974) on one page, without segrobust.

    python examples/rga_one_file.py photo.png facebook/sam-vit-base adversarial.png

For reading, and as a second opinion: tests/test_oracle.py compares it with the package. It prefers plainness to speed
and memory. The perturbation lives on the photo's own pixels (the package's protocol `strict`).
"""

import argparse

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import affine_grid, grid_sample, interpolate, pad
from transformers import SamModel

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])  # of pixels 0 .. 255


def fitted(height, width, side):
    """Height and width once the long side is `side`."""
    ratio = side / max(height, width)
    return int(height * ratio + 0.5), int(width * ratio + 0.5)


def triangles(before, after):
    """The (after, before) matrix of PIL's bilinear resize: a triangle over each new pixel, wider when shrinking."""
    ratio = before / after
    distance = (torch.arange(after)[:, None] + 0.5) * ratio - (torch.arange(before) + 0.5)
    weights = (1 - distance.abs() / max(ratio, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def sam_input(photo, side, divisor=1):
    """(3, H, W) in [0, 1] to SAM's (1, 3, side, side); the pixels are divided by `divisor` on the way."""
    height, width = fitted(*photo.shape[1:], side)
    pixels = triangles(photo.shape[1], height) @ photo @ triangles(photo.shape[2], width).T
    pixels = (255 * pixels / divisor - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)
    return pad(pixels, (0, side - width, 0, side - height))[None]


@torch.no_grad()
def segment_everything(sam, photo, per_side, least_iou=0.88, least_stability=0.95, most_overlap=0.7):
    """Masks (n, H, W) by falling predicted IoU; simpler than SAM's: stability of small logits, overlap of masks."""
    size, side = photo.shape[1:], sam.config.vision_config.image_size
    height, width = fitted(*size, side)
    embedding = sam.vision_encoder(sam_input(photo, side))[0]
    ticks = (torch.arange(per_side) + 0.5) / per_side
    found, kept = [], []
    for points in torch.cartesian_prod(ticks * width, ticks * height).split(64):
        out = sam(image_embeddings=embedding, input_points=points[None, :, None], multimask_output=True)
        found += zip(out.iou_scores.flatten().tolist(), out.pred_masks.flatten(0, 2), strict=True)
    for score, logits in sorted(found, key=lambda pair: -pair[0]):
        if score <= least_iou or (logits > 1).sum() < least_stability * (logits > -1).sum():
            continue
        inside = interpolate(logits[None, None], (side, side), mode="bilinear")[..., :height, :width]
        mask = (interpolate(inside, size, mode="bilinear")[0, 0] > 0).numpy()
        if mask.any() and all((mask & m).sum() <= most_overlap * (mask | m).sum() for m in kept):
            kept.append(mask)
    return np.array(kept, bool).reshape(-1, *size)


def grow(mask, reach):
    """Dilation by a square: a pixel is in when the window around it counts any pixel of the mask."""
    table = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    top, bottom = (np.clip(np.arange(mask.shape[0]) + d, 0, mask.shape[0]) for d in (-reach, reach + 1))
    left, right = (np.clip(np.arange(mask.shape[1]) + d, 0, mask.shape[1]) for d in (-reach, reach + 1))
    return table[bottom][:, right] - table[top][:, right] - table[bottom][:, left] + table[top][:, left] > 0


def regions(masks, grid_rate=0.1, reach=100):
    """F_sad: region numbers (H, W), 0 where there is none; small masks grown, then the large ones cut into cells."""
    height, width = masks.shape[1:]
    cell = int(grid_rate * min(height, width))
    numbers, union = np.zeros((height, width), int), np.zeros((height, width), bool)
    for mask in masks:
        if mask.sum() > cell**2:
            union |= mask
        else:
            numbers[grow(mask, reach) & (numbers == 0)] = numbers.max() + 1
    for y in range(0, height, cell):
        for x in range(0, width, cell):
            block = numbers[y : y + cell, x : x + cell]
            block[union[y : y + cell, x : x + cell] & (block == 0)] = numbers.max() + 1
    return numbers


def similarity(beta, generator):
    """F_2d: a small random shift, turn and scale, as a (1, 2, 3) matrix for `affine_grid`."""
    x, y, turn, scale = beta * (2 * torch.rand(4, generator=generator) - 1)
    cos, sin = (1 + scale) * torch.cos(turn * torch.pi / 2), torch.sin(turn * torch.pi / 2)
    return torch.stack([cos, sin, x, -sin, cos, y]).view(1, 2, 3)


def minimise(sam, photo, guide, start, matrices, epsilon, alpha=2 / 255, momentum=0.4, weight=1.0):
    """The last iterate (3, H, W) in [0, 1]; `matrices[t][s]` warps copy s at step t (None: leave it)."""
    side = sam.config.vision_config.image_size
    with torch.no_grad():
        y_s, y_g = (sam.vision_encoder(sam_input(picture, side))[0].flatten() for picture in (photo, guide))
    image, velocity = start.clamp(0, 1), torch.zeros_like(start)
    for step in matrices:
        image.requires_grad_(True)
        gradient = torch.zeros_like(photo)
        for s, matrix in enumerate(step):
            seen = sam_input(image, side, divisor=2**s)
            if matrix is not None:
                seen = grid_sample(seen, affine_grid(matrix, seen.shape, align_corners=False), align_corners=False)
            y_a = sam.vision_encoder(seen)[0].flatten()
            to_photo, to_guide = (y_a @ y / (y_a.norm() * y.norm()) for y in (y_s, y_g))
            gradient += torch.autograd.grad(to_photo - weight * to_guide, image)[0] / len(step)
        velocity = momentum * velocity + gradient / gradient.abs().sum()
        moved = image.detach() - alpha * velocity.sign()
        image = (photo + (moved - photo).clamp(-epsilon, epsilon)).clamp(0, 1)
    return image


def to_file(image, photo, levels):
    """8-bit pixels (H, W, 3): rounded, and at most `levels` from the photo's."""
    wanted, original = (np.rint(255 * t.permute(1, 2, 0).double().numpy()).astype(int) for t in (image, photo))
    return np.clip(wanted, original - levels, original + levels).clip(0, 255).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description="Attack one photo with RGA.")
    parser.add_argument("photo")
    parser.add_argument("model", help="folder or name of a transformers SamModel")
    parser.add_argument("output", help="a .png file")
    for name, default in {"levels": 8, "steps": 40, "copies": 3, "grid": 32, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    sam = SamModel.from_pretrained(args.model).eval().requires_grad_(False)
    original = np.array(Image.open(args.photo).convert("RGB"))
    photo = torch.from_numpy(original).permute(2, 0, 1) / 255
    numbers = regions(segment_everything(sam, photo, args.grid))
    colours = np.random.default_rng(args.seed).integers(1, 256, (numbers.max() + 1, 3))
    colours[0] = 0
    guide = torch.from_numpy(colours[numbers]).permute(2, 0, 1).float() / 255
    draw, epsilon = torch.Generator().manual_seed(args.seed), args.levels / 255
    start = photo + epsilon * (2 * torch.rand(photo.shape, generator=draw) - 1)
    matrices = [[similarity(0.01, draw) for _ in range(args.copies)] for _ in range(args.steps)]
    pixels = to_file(minimise(sam, photo, guide, start, matrices, epsilon), photo, args.levels)
    Image.fromarray(pixels).save(args.output)
    worst = np.abs(pixels.astype(int) - original).max()
    print(f"{args.output}: {numbers.max()} regions in the guide map, no value changed by more than {worst}/255")


if __name__ == "__main__":
    main()
