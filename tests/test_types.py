from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segrobust.errors import BudgetError, UsageError
from segrobust.types import AttackResult, Budget, Image, Masks, Prompts, decode_mask, encode_mask

masks_2d = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30))


def test_an_image_knows_its_size_and_cannot_be_painted_on() -> None:
    image = Image(np.zeros((2, 3, 3), np.uint8))
    assert (image.height, image.width, image.size) == (2, 3, (2, 3))
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0, 0] = 1
    with pytest.raises(AttributeError):
        image.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("pixels", "got"),
    [
        (np.zeros((2, 3, 3), np.float32), r"float32 \(2, 3, 3\)"),
        (np.zeros((2, 3), np.uint8), r"uint8 \(2, 3\)"),
        (np.zeros((3, 2, 4), np.uint8), r"uint8 \(3, 2, 4\)"),
        ([[1]], "list"),
        (np.zeros((0, 3, 3), np.uint8), r"at least one pixel, got shape \(0, 3, 3\)"),
    ],
)
def test_an_image_is_uint8_rgb(pixels: np.ndarray, got: str) -> None:
    with pytest.raises(ValueError, match=got):
        Image(pixels)


def test_the_fingerprint_is_of_size_and_pixels_only() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(2, 6, 3)
    mine = Image(pixels, "a").fingerprint
    assert Image(pixels.copy(), "b").fingerprint == mine
    assert Image(np.ascontiguousarray(pixels[:, ::-1])[:, ::-1]).fingerprint == mine  # not of how it lies in memory
    assert Image(pixels.reshape(6, 2, 3)).fingerprint != mine
    assert Image(pixels ^ np.uint8(1)).fingerprint != mine


@given(masks_2d)
def test_masks_survive_compression(mask: np.ndarray) -> None:
    rle = encode_mask(mask)
    assert rle["size"] == list(mask.shape)
    assert np.array_equal(decode_mask(rle), mask)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)))
def test_boxes_and_areas_are_those_of_the_pixels(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    assert np.array_equal(masks.dense(), dense)
    assert masks.areas.tolist() == dense.sum((1, 2)).tolist()
    for mask, (x0, y0, x1, y1) in zip(dense, masks.boxes.astype(int), strict=True):
        if mask.any():
            assert mask[y0:y1, x0:x1].sum() == mask.sum()
            assert mask[y0:y1, x0:x1].any(0)[[0, -1]].all()
            assert mask[y0:y1, x0:x1].any(1)[[0, -1]].all()


def test_more_than_255_masks_have_areas() -> None:
    assert Masks.from_dense(np.ones((300, 2, 2), np.bool_)).areas.tolist() == [4] * 300


def test_masks_are_chosen_with_their_columns() -> None:
    dense = np.eye(3, dtype=np.bool_).reshape(3, 1, 3)
    masks = Masks.from_dense(dense, predicted_iou=[0.1, 0.2, 0.3], points=[[0, 0], [1, 0], [2, 0]])
    some = masks.select([2, 0])
    assert (len(some), some.predicted_iou.tolist(), some.points.tolist()) == (2, [0.3, 0.1], [[2, 0], [0, 0]])
    assert np.array_equal(some.dense(), dense[[2, 0]])
    assert np.array_equal(some.mask(0), dense[2])
    assert np.isnan(some.stability).all()
    empty = Masks.from_rles((4, 5), [])
    assert (len(empty), empty.dense().shape, empty.boxes.shape, list(empty)) == (0, (0, 4, 5), (0, 4), [])
    with pytest.raises(ValueError, match="read-only"):
        masks.areas[0] = 7


def test_masks_that_do_not_fit_are_refused() -> None:
    rle = encode_mask(np.ones((2, 2), np.bool_))
    with pytest.raises(ValueError, match="size"):
        Masks.from_rles((2, 3), [rle])
    masks = Masks.from_rles((2, 2), [rle])
    with pytest.raises(ValueError, match=r"Masks.areas must have shape \(1,\) for 1 masks, got \(2,\)"):
        Masks(
            masks.size,
            masks.rles,
            masks.boxes,
            np.zeros(2, np.int64),
            masks.predicted_iou,
            masks.stability,
            masks.points,
        )
    with pytest.raises(ValueError, match="bool"):
        Masks.from_dense(np.ones((1, 2, 2), np.uint8))  # type: ignore[arg-type]


def test_prompts_number_themselves() -> None:
    prompts = Prompts.of(points=[[1, 2], [3, 4]], boxes=[[0, 0, 5, 5]])
    assert (len(prompts), prompts.point_masks.tolist(), prompts.box_masks.tolist()) == (3, [0, 1], [0])
    assert len(Prompts.of()) == 0
    with pytest.raises(ValueError, match="read-only"):
        prompts.points[0] = 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"boxes": [[5, 0, 1, 1]]}, r"x1 <= x2 and y1 <= y2, got \[5.0, 0.0, 1.0, 1.0\]"),
        ({"points": [[float("nan"), 0]]}, "finite"),
        ({"points": [[1, 2]], "point_masks": [0, 1]}, "mask ids"),
        ({"boxes": [[0, 0, 1, 1]], "box_masks": []}, "mask ids"),
        ({"points": [[1, 2, 3]]}, "points must be"),
    ],
)
def test_prompts_that_cannot_be_asked(wrong: dict[str, list[object]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Prompts.of(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "epsilon", "levels", "written"),
    [
        ("8/255", Fraction(8, 255), 8, "8/255"),
        (" 8 / 255 ", Fraction(8, 255), 8, "8/255"),
        ("8px", Fraction(8, 255), 8, "8/255"),
        ("0.5/255", Fraction(1, 510), 0, "0.5/255"),
        ("0.0314", Fraction(314, 10000), 8, "8.007/255"),
        ("0.03137", Fraction(3137, 100000), 8, "7.99935/255"),
        ("1/3", Fraction(1, 3), 85, "85/255"),
        ("0", Fraction(0), 0, "0/255"),
        ("1", Fraction(1), 255, "255/255"),
        (0.5, Fraction(1, 2), 127, "127.5/255"),
        ("0.0000001", Fraction(1, 10**7), 0, "1/10000000"),
    ],
)
def test_budgets_are_read_and_written(text: str | float, epsilon: Fraction, levels: int, written: str) -> None:
    budget = Budget.parse(text)
    assert (budget.epsilon, budget.levels, str(budget)) == (epsilon, levels, written)
    assert budget.value == pytest.approx(float(epsilon))
    assert Budget.parse(budget) is budget


@given(st.fractions(0, 1))
def test_a_budget_is_read_back_exactly(epsilon: Fraction) -> None:
    budget = Budget(epsilon)
    assert Budget.parse(str(budget)) == budget
    assert 0 <= budget.levels <= 255
    assert Fraction(budget.levels, 255) <= epsilon + Fraction(1, 255_000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8", "did you mean 8/255"),
        (8, "did you mean 8/255"),
        ("300", r"epsilon 300 is outside the pixel range \(images are in \[0, 1\]\)$"),
        ("-1/255", "epsilon -1/255 is outside"),
        ("256/255", "outside"),
        ("1/0", "'1/0' is not a number"),
        ("nan", "is not a number"),
        ("", "'' is not a number"),
        ("eight", "'eight' is not a number; write it like 8/255"),
    ],
)
def test_budgets_that_cannot_be_meant(text: str | int, said: str) -> None:
    with pytest.raises(BudgetError, match=said) as raised:
        Budget.parse(text)
    assert isinstance(raised.value, UsageError)


def test_a_budget_is_an_exact_fraction_in_a_known_norm() -> None:
    with pytest.raises(BudgetError, match=r"must be a Fraction, got 0\.03"):
        Budget(0.03)  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match="norm 'l1' is not one of linf, l2, contrast"):
        Budget(Fraction(1, 2), "l1")  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match="outside"):
        Budget(Fraction(-1, 2))


def test_an_attack_result_cannot_be_changed() -> None:
    image = Image(np.zeros((1, 1, 3), np.uint8))
    result = AttackResult(image, "rga", "strict", Budget.parse("8/255"), 0, (1.0,), 1, 1, 0.1)
    assert (result.notes, dict(result.settings)) == ((), {})
    with pytest.raises(AttributeError):
        result.seed = 1  # type: ignore[misc]
