"""The five-picture panel: photo, its masks, the guide map, the adversarial photo, what is left of the masks."""

import colorsys
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

from segrobust.benchmark.folder import RunFolder
from segrobust.benchmark.items import Listener
from segrobust.errors import MissingError
from segrobust.evaluation.metrics import max_linf_255
from segrobust.io.images import read_image, write_png
from segrobust.io.sa1b import read_sa1b
from segrobust.types import Masks, Pixels

log = logging.getLogger(__name__)
TILE = 360
CAPTION = 26
GOLDEN_ANGLE = 0.61803398875


def overlay(pixels: Pixels, masks: Masks, long_side: int = TILE) -> Pixels:
    """The photo, shrunk, with every mask painted over it in its own colour and outlined; small masks on top."""
    small = _shrink(pixels, long_side)
    canvas = small.astype(np.float32)
    size = (small.shape[1], small.shape[0])
    for rank, index in enumerate(np.argsort(-masks.areas)):
        where = np.array(Pil.fromarray(masks.mask(int(index))).resize(size, Pil.Resampling.NEAREST))
        colour = 255 * np.array(colorsys.hsv_to_rgb((rank * GOLDEN_ANGLE) % 1, 0.75, 1.0), np.float32)
        canvas[where] = 0.4 * canvas[where] + 0.6 * colour
        canvas[where & ~_eroded(where)] = 255
    return canvas.round().astype(np.uint8)


def _eroded(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    inside: np.ndarray = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside


def _shrink(pixels: Pixels, long_side: int) -> Pixels:
    scale = long_side / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.array(Pil.fromarray(pixels).resize(size, Pil.Resampling.LANCZOS if scale < 1 else Pil.Resampling.NEAREST))


def side_by_side(pictures: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    """Pictures of one size in a row, each under its caption."""
    height, width = pictures[0].shape[:2]
    gap = 6
    sheet = Pil.new("RGB", (len(pictures) * (width + gap) - gap, height + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = number * (width + gap)
        while draw.textlength(caption, font=font) > width and len(caption) > 4:
            caption = caption[:-2].rstrip() + "…"
        draw.text((left + 2, 4), caption, fill="black", font=font)
        sheet.paste(Pil.fromarray(picture), (left, CAPTION))
    return np.array(sheet)


def write_panel(folder: RunFolder, stem: str, photo: Path) -> None:
    """Draw the headline attack's panel from the files of a run folder.

    Args:
        folder: the run.
        stem: the photo's name in it.
        photo: the original.
    """
    attack = folder.headline
    original, adversarial = read_image(photo), read_image(folder.adversarial(stem, attack))
    clean = read_sa1b(folder.masks(stem), size=original.size)
    found = read_sa1b(folder.masks(stem, attack), size=original.size)
    worst = max_linf_255(original.pixels, adversarial.pixels)
    pictures = [_shrink(original.pixels, TILE), overlay(original.pixels, clean)]
    captions = ["photo", f"its {len(clean)} masks"]
    if folder.guide(stem, attack).exists():
        pictures.append(_shrink(read_image(folder.guide(stem, attack)).pixels, TILE))
        captions.append("guide map")
    pictures += [_shrink(adversarial.pixels, TILE), overlay(adversarial.pixels, found)]
    captions += [f"{attack}: at most {worst}/255 per pixel", f"{len(found)} masks on it"]
    write_png(folder.panel(stem), side_by_side(pictures, captions))


class PanelDrawer:
    """A listener that draws the panel of every finished photo, and passes everything on to another one.

    Attributes:
        problems: what could not be drawn, one line each.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.problems: list[str] = []

    def item(self, done: int, total: int, image: str, row: str) -> None:
        """Passed on."""
        self.listener.item(done, total, image, row)

    def step(self, done: int, total: int, loss: float) -> None:
        """Passed on."""
        self.listener.step(done, total, loss)

    def photo(self, folder: RunFolder, stem: str, path: Path) -> None:
        """Draw the panel if it is not there yet; the numbers stand without it, so a failure does not end the run."""
        try:
            if not folder.panel(stem).exists():
                write_panel(folder, stem, path)
        except MissingError:
            raise
        except Exception as error:
            log.exception("no panel for %s", stem)
            self.problems.append(f"no panel for {stem}: {error}")
        self.listener.photo(folder, stem, path)
