"""Draw scenes with exact region masks: occluding shapes ("dead leaves") filled with noise, stripes, gradients and photo
texture, with shading, soft shadows, blur and noise. Also collages: annotated regions of one photo pasted onto others.

    python training/scenes.py --data DATA --out SCENES.npz --count 6000 --seed 0
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from photos import Annotated, training_photos

SIDE = 288


def smooth_noise(rng: np.random.Generator, side: int, cells: int, channels: int = 1) -> np.ndarray:
    """Noise of ``cells`` x ``cells`` random values, enlarged smoothly to ``side``; range about [-1, 1]."""
    coarse = rng.uniform(-1, 1, (cells, cells, channels)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).reshape(side, side, channels)


def _photo_texture(rng: np.random.Generator, photos: list[Annotated]) -> np.ndarray:
    image = photos[rng.integers(len(photos))].image
    height, width = image.shape[:2]
    side = int(rng.uniform(0.25, 1.0) * min(height, width))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    patch = cv2.resize(image[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return patch.astype(np.float32)


def _colour(rng: np.random.Generator, photos: list[Annotated]) -> np.ndarray:
    """Mostly a colour that photos have: a random pixel of a random photo; sometimes any colour."""
    if rng.random() < 0.2:
        return rng.uniform(0, 255, 3).astype(np.float32)
    pixels = photos[rng.integers(len(photos))].image.reshape(-1, 3)
    return pixels[rng.integers(len(pixels))].astype(np.float32)


def texture(rng: np.random.Generator, photos: list[Annotated]) -> np.ndarray:
    """A full canvas ``(SIDE, SIDE, 3)`` float32 in [0, 255] of one material."""
    kind = rng.random()
    base = _colour(rng, photos)
    if kind < 0.4:
        patch = _photo_texture(rng, photos)
        if rng.random() < 0.5:  # recolour: keep the texture, move the mean
            patch = (patch - patch.mean((0, 1))) * rng.uniform(0.4, 1.2) + base
        return patch
    canvas = np.broadcast_to(base, (SIDE, SIDE, 3)).copy()
    if kind < 0.6:
        canvas += smooth_noise(rng, SIDE, int(rng.integers(2, 6)), 3) * rng.uniform(5, 40)
    elif kind < 0.8:
        second = base + rng.normal(0, 40, 3).astype(np.float32)
        mix = smooth_noise(rng, SIDE, int(rng.integers(8, 90)))
        canvas += (second - base) * np.clip(0.5 + mix * rng.uniform(0.5, 3), 0, 1)
    elif kind < 0.9:
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
        canvas += (wave * rng.uniform(5, 40))[..., None] * rng.uniform(0.3, 1, 3).astype(np.float32)
    noise = rng.uniform(0, 18)
    return canvas + rng.standard_normal((SIDE, SIDE, 1), np.float32) * noise


def _blob(rng: np.random.Generator, radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    profile = np.ones_like(angles)
    for order in range(2, 7):
        profile += rng.normal(0, 0.35 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    profile = np.clip(profile, 0.2, 2.5) * radius
    stretch = np.exp(rng.normal(0, 0.4))
    points = np.stack([np.cos(angles) * profile * stretch, np.sin(angles) * profile / stretch], 1)
    return _rotate(points, rng.uniform(0, 2 * np.pi))


def _polygon(rng: np.random.Generator, radius: float) -> np.ndarray:
    corners = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = radius * rng.uniform(0.5, 1.3, corners)
    return np.stack([np.cos(angles) * reach, np.sin(angles) * reach], 1)


def _strip(rng: np.random.Generator, radius: float) -> np.ndarray:
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [
        radius * rng.uniform(0.7, 2.5),
        radius * rng.uniform(0.1, 1),
    ]
    return _rotate(half, rng.uniform(0, np.pi))


def _rotate(points: np.ndarray, angle: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T


def _region_shape(rng: np.random.Generator, photos: list[Annotated], radius: float) -> np.ndarray | None:
    """The outline of an annotated region of a random photo, scaled to ``radius``."""
    photo = photos[rng.integers(len(photos))]
    regions = photo.maps[rng.integers(len(photo.maps))]
    numbers = np.unique(regions[regions > 0])
    if not len(numbers):
        return None
    where = (regions == numbers[rng.integers(len(numbers))]).astype(np.uint8)
    outlines, _ = cv2.findContours(where, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)[:, 0].astype(np.float64)
    if len(outline) < 8:
        return None
    outline -= outline.mean(0)
    outline *= radius / (np.abs(outline).max() + 1)
    return _rotate(outline * [rng.choice([-1, 1]), 1], rng.uniform(-0.5, 0.5)) * 1.4


def shape_mask(rng: np.random.Generator, photos: list[Annotated], radius: float) -> np.ndarray:
    """One random filled shape as a soft mask ``(SIDE, SIDE)`` float32 in [0, 1]."""
    kind = rng.random()
    points = None
    if kind < 0.45:
        points = _region_shape(rng, photos, radius)
    elif kind < 0.6:
        points = _polygon(rng, radius)
    elif kind < 0.75:
        points = _strip(rng, radius)
    if points is None:
        points = _blob(rng, radius)
    points = points + rng.uniform(-0.05, 1.05, 2) * SIDE
    mask = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, lineType=cv2.LINE_AA, shift=4)
    return mask


def _shade(rng: np.random.Generator, layer: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0, 0.9)
    return layer * (1 + slope)[..., None]


def draw_scene(rng: np.random.Generator, photos: list[Annotated]) -> tuple[np.ndarray, np.ndarray]:
    """One scene: pixels ``(SIDE, SIDE, 3)`` uint8 and its region map ``(SIDE, SIDE)`` uint8; the background is 1."""
    canvas = _shade(rng, texture(rng, photos))
    regions = np.ones((SIDE, SIDE), np.uint8)
    largest = rng.uniform(0.15, 0.5) * SIDE
    for number in range(2, 2 + int(rng.integers(3, 26))):
        radius = max(6.0, largest * rng.uniform(0.05, 1) ** 1.5)
        mask = shape_mask(rng, photos, radius)
        if rng.random() < 0.35:  # a soft shadow beside the shape, which belongs to whatever lies below
            offset = np.float32([[1, 0, rng.uniform(-14, 14)], [0, 1, rng.uniform(-14, 14)]])
            shadow = cv2.GaussianBlur(cv2.warpAffine(mask, offset, (SIDE, SIDE)), (0, 0), rng.uniform(1, 6))
            canvas = canvas * (1 - rng.uniform(0.1, 0.6) * shadow)[..., None]
        layer = texture(rng, photos)
        if rng.random() < 0.5:
            layer = _shade(rng, layer)
        soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 1.2))[..., None]
        canvas = canvas * (1 - soft) + layer * soft
        regions[mask > 0.5] = number
    return _finish(rng, canvas), regions


def _finish(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    if rng.random() < 0.4:
        canvas = canvas * (1 + smooth_noise(rng, SIDE, int(rng.integers(2, 5))) * rng.uniform(0, 0.4))
    if rng.random() < 0.5:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 1.2))
    canvas = canvas + rng.standard_normal(canvas.shape, np.float32) * rng.uniform(0, 8)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    photos = list(training_photos(args.data).values())
    rng = np.random.default_rng(args.seed)
    scenes = [draw_scene(rng, photos) for _ in range(args.count)]
    np.savez(args.out, images=np.stack([s[0] for s in scenes]), regions=np.stack([s[1] for s in scenes]))


if __name__ == "__main__":
    main()
