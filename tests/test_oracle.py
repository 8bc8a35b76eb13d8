"""examples/rga_one_file.py, which knows nothing of the package, against the package and the authors' numbers."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from transformers import SamModel

from segrobust import Image, Masks, attack, segment_everything
from segrobust.attacks.budget import Box
from segrobust.attacks.loop import descend
from segrobust.attacks.objectives import AwayAndToward
from segrobust.attacks.updates import MomentumSign
from segrobust.attacks.views import ScaleCopies, similarity_matrices
from segrobust.models.base import EverythingSettings
from segrobust.models.geometry import to_tensor
from segrobust.randomness import torch_stream
from segrobust.regions.guide import region_guided_map
from segrobust.types import Budget

BUDGET = Budget.parse("8/255")
PAGE = Path(__file__).resolve().parent.parent / "examples" / "rga_one_file.py"


def load_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rga_one_file", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page = load_page()


@pytest.fixture(scope="module")
def sam(golden):
    """The tiny SAM as transformers loads it, without the package."""
    return SamModel.from_pretrained(golden / "tiny-sam").eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photo(root):
    """A photo larger than the tiny SAM's 256 pixels, on both sides."""
    with Pillow.open(root / "examples" / "chelsea.png") as opened:
        return Image(np.array(opened.convert("RGB")), name="chelsea")


def boxes(size, *xyxy):
    masks = np.zeros((len(xyxy), *size), np.bool_)
    for mask, (x0, y0, x1, y1) in zip(masks, xyxy, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def share_within(a, b, tolerance=1e-4):
    return float(((a - b).abs() < tolerance).double().mean())


def test_the_page_is_one_page_and_does_not_use_the_package():
    text = PAGE.read_text()
    assert len(text.splitlines()) <= 150
    assert "import segrobust" not in text
    assert "from segrobust" not in text


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(10, 60),
    width=st.integers(10, 60),
    count=st.integers(0, 8),
    grid_rate=st.sampled_from([0.1, 0.23, 0.5, 1.0]),
    reach=st.integers(0, 12),
)
def test_the_same_regions_as_the_package(seed, height, width, count, grid_rate, reach):
    draw = np.random.default_rng(seed)
    masks = np.zeros((count, height, width), np.bool_)
    for mask in masks:
        y, x = draw.integers(0, height), draw.integers(0, width)
        part = mask[y : y + draw.integers(1, height), x : x + draw.integers(1, width)]
        part[:] = draw.random(part.shape) < draw.choice([0.02, 0.7, 1.0])
    guide = region_guided_map(Masks.from_dense(masks), draw, grid_rate=grid_rate, dilation=reach)
    assert np.array_equal(guide.labels, page.regions(masks, grid_rate, reach))


def test_the_same_border_between_small_and_large():
    """A mask of exactly one cell's area is small and grows; with one pixel more it is large and does not."""
    for extra in (0, 1):
        masks = boxes((40, 60), (20, 10, 24, 14))  # cells of 4 x 4
        masks[0, 20, 30] = bool(extra)
        guide = region_guided_map(Masks.from_dense(masks), np.random.default_rng(0), dilation=3)
        numbers = page.regions(masks, reach=3)
        assert np.array_equal(guide.labels, numbers)
        assert np.count_nonzero(numbers) == (17 if extra else 100)


@pytest.mark.parametrize("name", ["mixed", "official_50"])
def test_the_regions_of_the_authors_code(golden, name):
    case = np.load(golden / f"sad_{name}.npz")
    masks = np.unpackbits(case["masks"], axis=-1)[..., : case["shape"][1]].astype(np.bool_)
    numbers = page.regions(masks, float(case["grid_rate"]), 2 * int(case["dilate_iterations"]))
    assert np.array_equal(numbers == 0, case["unpainted"])
    pairs = np.unique(np.stack([numbers.ravel(), case["partition"].ravel()]), axis=1).shape[1]
    assert pairs == len(np.unique(numbers)) == len(np.unique(case["partition"]))


@pytest.mark.parametrize("case", ["si_momentum_3", "full_3", "full_10"])
def test_the_steps_of_the_authors_code(sam, golden, case):
    data = np.load(golden / "rga_steps.npz")
    source, guide, noise = (torch.from_numpy(data[key])[0] for key in ("source", "guide", "start"))
    steps = int(case.rpartition("_")[2])
    matrices = [[None] * 3] * steps
    if f"{case}_theta" in data:
        matrices = torch.from_numpy(data[f"{case}_theta"]).view(steps, 3, 1, 2, 3)
    final = page.minimise(sam, source, guide, source + noise, matrices, BUDGET.value)
    theirs = torch.from_numpy(data[case].astype(np.float32) / 255 / 1000)[0]
    assert share_within(final - source, theirs) >= 0.999


def test_the_preprocessing_is_the_packages(sam, tiny_sam, photo):
    pixels = to_tensor(photo.pixels)
    ours = tiny_sam.prepare(tiny_sam.resize(pixels[None]))
    assert torch.allclose(page.sam_input(pixels, 256), ours, atol=1e-4)
    assert torch.allclose(
        page.sam_input(pixels, 256, divisor=4), tiny_sam.prepare(tiny_sam.resize(pixels[None]) / 4), atol=1e-4
    )


def test_the_same_strict_run_from_the_same_start(sam, tiny_sam, photo):
    """The loop on the pixels of a photo that the model sees shrunk: the resize is inside the gradient."""
    source = to_tensor(photo.pixels)
    picture = to_tensor(
        region_guided_map(Masks.from_dense(boxes(photo.size, (40, 60, 400, 280))), np.random.default_rng(0)).picture
    )
    start = source + BUDGET.value * (2 * torch.rand(source.shape, generator=torch.Generator().manual_seed(5)) - 1)

    with torch.no_grad():
        goals = [tiny_sam.embed(image).features for image in (source, picture)]
    ours, _ = descend(
        tiny_sam,
        start[None],
        Box.around(source[None], BUDGET),
        AwayAndToward(*goals, 1.0),
        MomentumSign(2 / 255, 0.4),
        steps=5,
        pixel_views=(ScaleCopies(3),),
        input_views=(),
        generator=torch.Generator(),
    )
    theirs = page.minimise(sam, source, picture, start, [[None] * 3] * 5, BUDGET.value)
    assert share_within(ours[0], theirs) >= 0.999
    assert share_within(ours[0], start) < 0.5  # it went somewhere


def test_the_same_photo_from_end_to_end(sam, tiny_sam, photo):
    """``attack`` with all its parts, against the page given the same random numbers."""
    steps, copies, seed = 4, 3, 7
    masks = boxes(photo.size, (40, 60, 400, 280), (10, 10, 25, 20), (300, 100, 310, 130))
    result = attack(tiny_sam, photo, "rga", steps=steps, seed=seed, clean_masks=Masks.from_dense(masks))
    source, guide = to_tensor(photo.pixels), to_tensor(result.guide)
    colours = result.guide.astype(np.int64) @ (1, 256, 65536)
    numbers = page.regions(masks)
    assert len(np.unique(np.stack([colours.ravel(), numbers.ravel()]), axis=1).T) == len(np.unique(numbers))
    drift = 2 * torch.rand((1, *source.shape), generator=torch_stream(seed, photo.fingerprint, "rga", "start")) - 1
    views = torch_stream(seed, photo.fingerprint, "rga", "views")
    matrices = [similarity_matrices(copies, 0.01, views)[:, None] for _ in range(steps)]
    start = source + BUDGET.value * drift[0]
    pixels = page.to_file(page.minimise(sam, source, guide, start, matrices, BUDGET.value), source, BUDGET.levels)
    assert (pixels == result.image.pixels).mean() >= 0.999
    assert np.abs(pixels.astype(int) - photo.pixels).max() == 8


def test_its_similarities_are_drawn_from_the_same_family():
    """Row by row: [s cos a, sin a, x], [-sin a, s cos a, y], each number inside the range that beta allows."""
    draw, beta = torch.Generator().manual_seed(0), 0.1
    for matrix in (page.similarity(beta, draw)[0] for _ in range(200)):
        angle = torch.asin(matrix[0, 1])
        scale = matrix[0, 0] / angle.cos()
        assert matrix[0, 0] == matrix[1, 1]
        assert matrix[0, 1] == -matrix[1, 0]
        assert matrix[:, 2].abs().max() <= beta
        assert angle.abs() <= beta * torch.pi / 2
        assert abs(scale - 1) <= beta * 1.001


def test_rounding_into_the_budget():
    photo = torch.tensor([0, 100, 250]).view(3, 1, 1) / 255
    image = torch.tensor([-20.0, 108.4, 262.0]).view(3, 1, 1) / 255
    assert page.to_file(image, photo, 8).ravel().tolist() == [0, 108, 255]
    assert page.to_file(torch.tensor([7.6, 109.0, 241.4]).view(3, 1, 1) / 255, photo, 8).ravel().tolist() == [
        8,
        108,
        242,
    ]


def test_its_masks_are_the_packages(sam, tiny_sam, photo):
    """With every filter off and no suppression, the masks of segment everything, in its order."""
    mine = page.segment_everything(
        sam, to_tensor(photo.pixels), 3, least_iou=-9.0, least_stability=0.0, most_overlap=1.0
    )
    settings = EverythingSettings(
        points_per_side=3, predicted_iou_threshold=0, stability_threshold=0, box_nms_threshold=1
    )
    masks = segment_everything(tiny_sam, photo, settings).dense()
    assert len(mine) == len(masks) > 9
    assert (mine == masks).mean() > 0.999


def test_the_command(tmp_path, monkeypatch, capsys, root, golden):
    out = tmp_path / "out.png"
    arguments = [
        root / "examples" / "chelsea.png",
        golden / "tiny-sam",
        out,
        "--steps",
        "1",
        "--grid",
        "2",
        "--levels",
        "4",
    ]
    monkeypatch.setattr("sys.argv", ["rga_one_file.py", *map(str, arguments)])
    page.main()
    with Pillow.open(out) as saved, Pillow.open(arguments[0]) as original:
        worst = np.abs(np.asarray(saved).astype(int) - np.asarray(original)).max()
    assert worst == 4
    assert "no value changed by more than 4/255" in capsys.readouterr().out
