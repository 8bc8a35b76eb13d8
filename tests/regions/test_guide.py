"""regions/guide.py: the paper's map, region by region, and the control that forgets where they were."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from segrobust.regions.guide import Guide, GuideBuilder, random_cells, region_guided_map
from segrobust.types import Masks


def fresh(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def boxes(size: tuple[int, int], *xyxy: tuple[int, int, int, int]) -> Masks:
    """Masks that are rectangles, far edge exclusive."""
    dense = np.zeros((len(xyxy), *size), np.bool_)
    for mask, (x0, y0, x1, y1) in zip(dense, xyxy, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def extent(region: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The xyxy of a region that must be a full rectangle."""
    y, x = np.nonzero(region)
    box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
    assert region.sum() == (box[2] - box[0]) * (box[3] - box[1])
    return box


def same_partition(a: NDArray[np.integer], b: NDArray[np.integer]) -> bool:
    pairs = len(np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize("name", ["mixed", "official_50", "only_large", "only_small"])
def test_partition_of_the_official_code(golden: Path, name: str) -> None:
    case = np.load(golden / f"sad_{name}.npz")
    dense = np.unpackbits(case["masks"], axis=-1)[..., : case["shape"][1]].astype(np.bool_)
    reach = 2 * int(case["dilate_iterations"])  # of a 5x5 square
    guide = region_guided_map(Masks.from_dense(dense), fresh(), grid_rate=float(case["grid_rate"]), dilation=reach)
    assert np.array_equal(guide.labels == 0, case["unpainted"])
    assert same_partition(guide.labels, case["partition"])
    assert not same_partition(random_cells(Masks.from_dense(dense), fresh(), dilation=reach).labels, case["partition"])


def test_defaults_are_the_official_numbers(golden: Path) -> None:
    case = np.load(golden / "sad_official_50.npz")
    dense = np.unpackbits(case["masks"], axis=-1)[..., : case["shape"][1]].astype(np.bool_)
    assert same_partition(region_guided_map(Masks.from_dense(dense), fresh()).labels, case["partition"])


def test_small_region_grows_to_a_rectangle() -> None:
    guide = region_guided_map(boxes((400, 600), (300, 150, 310, 170)), fresh())
    assert extent(guide.labels == 1) == (200, 50, 410, 270)
    assert guide.labels.max() == 1


def test_growing_stops_at_the_photo() -> None:
    guide = region_guided_map(boxes((400, 600), (590, 2, 600, 12)), fresh(), dilation=30)
    assert extent(guide.labels == 1) == (560, 0, 600, 42)


@settings(max_examples=40)
@given(
    pixels=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29)), min_size=1, max_size=8), times=st.integers(0, 6)
)
def test_growing_is_the_repeated_dilation_of_the_paper(pixels: list[tuple[int, int]], times: int) -> None:
    mask = np.zeros((40, 30), np.bool_)
    mask[tuple(np.array(pixels).T)] = True
    wanted = ndimage.binary_dilation(mask, np.ones((5, 5)), iterations=times) if times else mask
    guide = region_guided_map(Masks.from_dense(mask[None]), fresh(), grid_rate=0.5, dilation=2 * times)
    assert np.array_equal(guide.labels == 1, wanted)


def test_large_region_is_cut_into_cells_from_the_top_left_of_the_photo() -> None:
    # g = 10; the mask covers a part of 3 x 3 cells.
    guide = region_guided_map(boxes((100, 120), (25, 15, 45, 38)), fresh())
    assert [extent(guide.labels == i) for i in range(1, 10)] == [
        (25, 15, 30, 20), (30, 15, 40, 20), (40, 15, 45, 20),
        (25, 20, 30, 30), (30, 20, 40, 30), (40, 20, 45, 30),
        (25, 30, 30, 38), (30, 30, 40, 38), (40, 30, 45, 38),
    ]  # fmt: skip
    assert guide.labels.max() == 9


def test_area_of_one_cell_is_still_small() -> None:
    assert region_guided_map(boxes((100, 100), (45, 45, 55, 55)), fresh(), dilation=0).labels.max() == 1
    assert region_guided_map(boxes((100, 100), (45, 45, 56, 55)), fresh(), dilation=0).labels.max() == 4


def test_small_comes_before_large_whatever_the_order() -> None:
    large, small = (0, 0, 100, 100), (48, 48, 52, 52)
    a = region_guided_map(boxes((100, 100), large, small), fresh(), dilation=3)
    b = region_guided_map(boxes((100, 100), small, large), fresh(), dilation=3)
    assert np.array_equal(a.labels, b.labels)
    assert extent(a.labels == 1) == (45, 45, 55, 55)
    assert (a.labels > 0).all()
    assert a.labels.max() == 101  # every cell shows, also the four the small one is painted over


def test_first_painted_stays() -> None:
    guide = region_guided_map(boxes((100, 100), (20, 20, 25, 25), (28, 20, 33, 25)), fresh(), dilation=5)
    assert extent(guide.labels == 1) == (15, 15, 30, 30)
    assert extent(guide.labels == 2) == (30, 15, 38, 30)


def test_overlapping_large_regions_become_one() -> None:
    apart = region_guided_map(boxes((100, 100), (0, 0, 60, 60), (30, 30, 90, 90)), fresh())
    mask = boxes((100, 100), (0, 0, 60, 60), (30, 30, 90, 90)).dense().any(axis=0)
    together = region_guided_map(Masks.from_dense(mask[None]), fresh())
    assert np.array_equal(apart.labels, together.labels)


def test_hidden_regions_have_no_number() -> None:
    guide = region_guided_map(
        boxes((100, 100), (20, 20, 25, 25), (21, 21, 24, 24), (60, 60, 65, 65)), fresh(), dilation=0
    )
    assert sorted(np.unique(guide.labels)) == [0, 1, 2]
    assert guide.labels[62, 62] == 2


def test_many_large_regions() -> None:
    # More than 255: pycocotools counts some lists in a byte.
    strips = [(0, i, 400, i + 3) for i in range(298)]
    guide = region_guided_map(boxes((300, 400), *strips), fresh())
    assert guide.labels.max() == 10 * 14  # cells of 30


@pytest.mark.parametrize("build", [region_guided_map, random_cells])
def test_picture_shows_the_labels(build: GuideBuilder) -> None:
    masks = boxes((90, 420), (0, 0, 80, 50), (300, 70, 304, 75))
    guide = build(masks, fresh())
    assert guide.labels.min() == 0
    assert same_partition(guide.labels, guide.picture.astype(np.int64) @ np.array([1, 256, 65536]))
    assert np.array_equal(guide.picture.any(axis=2), guide.labels > 0)
    assert guide.notes == ()


@pytest.mark.parametrize("build", [region_guided_map, random_cells])
def test_colours_use_the_whole_range_but_zero(build: GuideBuilder) -> None:
    guide = build(boxes((100, 100), (0, 0, 100, 100)), fresh())
    colours = np.concatenate([build(boxes((100, 100), (0, 0, 100, 100)), fresh(s)).picture for s in range(20)])
    assert guide.labels.max() == 100
    assert colours.min() == 1
    assert colours.max() == 255


@pytest.mark.parametrize("build", [region_guided_map, random_cells])
def test_only_the_generator_decides(build: GuideBuilder) -> None:
    masks = boxes((90, 120), (0, 0, 80, 50), (60, 30, 100, 60))
    first, again, other = build(masks, fresh(1)), build(masks, fresh(1)), build(masks, fresh(2))
    assert np.array_equal(first.picture, again.picture)
    assert not np.array_equal(first.picture, other.picture)
    assert np.array_equal(first.labels, other.labels) == (build is region_guided_map)


@pytest.mark.parametrize("build", [region_guided_map, random_cells])
@pytest.mark.parametrize("count", [0, 1])
def test_without_a_region_the_guide_is_black_and_says_so(build: GuideBuilder, count: int) -> None:
    guide = build(Masks.from_dense(np.zeros((count, 30, 40), np.bool_)), fresh())
    assert guide.picture.shape == (30, 40, 3)
    assert not guide.picture.any()
    assert guide.notes == ("no masks: the guide is black",)


@settings(max_examples=40)
@given(
    rectangles=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 40), st.integers(1, 60), st.integers(1, 50)), max_size=6
    ),
    seed=st.integers(0, 5),
)
def test_control_has_the_same_regions_elsewhere(rectangles: list[tuple[int, int, int, int]], seed: int) -> None:
    masks = boxes((50, 60), *((x, y, x + w, y + h) for x, y, w, h in rectangles))
    sizes = np.bincount(region_guided_map(masks, fresh(), dilation=3).labels.ravel())
    assert np.bincount(random_cells(masks, fresh(seed), dilation=3).labels.ravel()).tolist() == sizes.tolist()


def test_control_regions_are_compact() -> None:
    guide = random_cells(boxes((300, 300), (0, 0, 300, 200)), fresh())
    for i in range(1, guide.labels.max() + 1):
        y, x = np.nonzero(guide.labels == i)
        height, width = np.ptp(y) + 1, np.ptp(x) + 1
        assert len(y) >= 0.75 * height * width  # a rectangle, up to a step in its sides
        assert max(height, width) <= 4 * min(height, width)


def test_control_does_not_follow_the_photo() -> None:
    # Masks in the left half only: the control must be as dense on the right.
    masks = boxes((200, 200), (0, 0, 100, 200))
    painted = np.stack([random_cells(masks, fresh(s)).labels > 0 for s in range(20)])
    assert painted.mean() == 0.5
    np.testing.assert_allclose([painted[..., :100].mean(), painted[..., 100:].mean()], 0.5, atol=0.08)


@pytest.mark.parametrize("build", [region_guided_map, random_cells])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"grid_rate": 0.0}, "grid_rate .* got 0.0"), ({"grid_rate": 10}, "got 10"), ({"dilation": -1}, "got -1")],
)
def test_settings_out_of_range(build: GuideBuilder, wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(boxes((50, 50), (0, 0, 5, 5)), fresh(), **wrong)


def test_guide_is_checked_and_frozen() -> None:
    labels = np.zeros((4, 5), np.int32)
    with pytest.raises(ValueError, match="labels must be int32"):
        Guide(np.zeros((4, 5, 3), np.uint8), labels.astype(np.int64))
    with pytest.raises(ValueError, match=r"got uint8 \(5, 4, 3\)"):
        Guide(np.zeros((5, 4, 3), np.uint8), labels)
    guide = Guide(np.zeros((4, 5, 3), np.uint8), labels)
    with pytest.raises(ValueError, match="read-only"):
        guide.picture[0] = 1


def test_without_the_grid_a_large_mask_is_one_region_and_small_ones_still_grow() -> None:
    masks = boxes((400, 600), (100, 100, 400, 300), (350, 0, 600, 400), (0, 0, 4, 4))
    guide = region_guided_map(masks, fresh(), grid=False, dilation=10)
    assert guide.labels.max() == 3
    assert extent(guide.labels == 1) == (0, 0, 14, 14)
    assert extent(guide.labels == 2) == (100, 100, 400, 300)
    assert (guide.labels == 3).sum() == 250 * 400 - 50 * 200  # the rest of the second, behind the first
    assert region_guided_map(masks, fresh(), dilation=10).labels.max() > 20
