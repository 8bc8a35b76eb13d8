import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from segrobust.benchmark.folder import RunFolder
from segrobust.io.sa1b import read_sa1b
from segrobust.report import panels
from segrobust.report.panels import CAPTION, TILE, overlay, side_by_side, write_panel
from segrobust.types import Masks

GAP = 6


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(finished, tmp_path / "out")
    return RunFolder(tmp_path / "out", "rga")


@pytest.fixture
def captions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written over the tiles."""
    written: list[str] = []

    def spy(pictures: list[np.ndarray], texts: list[str]) -> np.ndarray:
        written.extend(texts)
        return side_by_side(pictures, texts)

    monkeypatch.setattr(panels, "side_by_side", spy)
    return written


@pytest.mark.parametrize(("stem", "size"), [("a", (270, 360)), ("b", (360, 270))])
def test_five_tiles_of_the_photos_shape(
    folder: RunFolder, finished: Path, captions: list[str], stem: str, size: tuple[int, int]
) -> None:
    write_panel(folder, stem, finished.parent / f"{stem}.png")
    panel = np.array(PIL.Image.open(folder.panel(stem)))
    assert panel.shape == (CAPTION + size[0], 5 * (size[1] + GAP) - GAP, 3)
    first = panel[CAPTION:, : size[1]].astype(int)
    original = PIL.Image.open(finished.parent / f"{stem}.png").resize(size[::-1], PIL.Image.Resampling.NEAREST)
    assert np.array_equal(first, np.array(original))
    adversarial = panel[CAPTION:, 3 * (size[1] + GAP) : 3 * (size[1] + GAP) + size[1]].astype(int)
    assert np.abs(adversarial - first).max() == 8
    assert captions[0] == "photo"
    assert captions[2:4] == ["guide map", "rga: at most 8/255 per pixel"]
    assert captions[1] == f"its {len(read_sa1b(folder.masks(stem)))} masks"
    assert captions[4] == f"{len(read_sa1b(folder.masks(stem, 'rga')))} masks on it"


def test_an_attack_without_a_guide_has_four_tiles(folder: RunFolder, finished: Path, captions: list[str]) -> None:
    plain = RunFolder(folder.root, "rga-untargeted")
    shutil.copy(folder.adversarial("a", "rga-untargeted"), plain.adversarial("a", "rga-untargeted"))
    folder.guide("a", "rga").unlink()
    write_panel(plain, "a", finished.parent / "a.png")
    assert np.array(PIL.Image.open(plain.panel("a"))).shape[1] == 4 * (360 + GAP) - GAP
    assert len(captions) == 4
    assert "guide map" not in captions


def test_masks_are_painted_and_outlined() -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    dense = np.zeros((2, 20, 40), np.bool_)
    dense[0, 2:18, 2:18], dense[1, 6:12, 6:12] = True, True
    painted = overlay(pixels, Masks.from_dense(dense), long_side=40)
    assert painted.shape == (20, 40, 3)
    assert not painted[:, 20:].any()
    assert painted[2, 5].tolist() == painted[6, 8].tolist() == [255, 255, 255]
    big, small = painted[15, 15], painted[8, 8]
    assert big.any()
    assert small.any()
    assert big.tolist() != small.tolist()  # the small one lies on top
    assert overlay(pixels, Masks.from_rles((20, 40), []), long_side=80).shape == (40, 80, 3)


def test_pictures_are_shrunk_to_the_tile() -> None:
    big = np.full((1000, 500, 3), 9, np.uint8)
    assert overlay(big, Masks.from_rles((1000, 500), [])).shape == (TILE, TILE // 2, 3)
    assert overlay(np.zeros((1, 5000, 3), np.uint8), Masks.from_rles((1, 5000), [])).shape == (1, TILE, 3)


def test_a_long_caption_stays_over_its_tile() -> None:
    tiles = [np.zeros((30, 80, 3), np.uint8)] * 2
    sheet = side_by_side(tiles, ["a caption that is much too long", ""])
    assert sheet.shape == (CAPTION + 30, 2 * 80 + GAP, 3)
    assert (sheet[:CAPTION, :80] < 128).any()
    assert (sheet[:CAPTION, 82:] == 255).all()
    assert not sheet[CAPTION:, :80].any()
    assert (sheet[CAPTION:, 80 : 80 + GAP] == 255).all()
