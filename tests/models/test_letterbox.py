"""The letterbox by hand; tests_fastsam/ compares it with ultralytics' own."""

import numpy as np
import pytest
import torch

from segrobust.models.letterbox import Letterbox, paddings


def test_a_landscape_photo_is_scaled_to_the_long_side_and_padded_at_top_and_bottom() -> None:
    box = Letterbox.of((1500, 2250), 1024)
    assert box.resized == (683, 1024)  # 682.67
    assert box.padding == (0, 0, 10, 11)  # 704 rows; the odd one at the bottom
    np.testing.assert_allclose(box.to_model(np.array([[0, 0], [2250, 1500]])), [[0, 10], [1024, 693]])


def test_a_small_photo_is_scaled_up_and_the_side_is_whole_strides() -> None:
    box = Letterbox.of((60, 30), 100)
    assert (box.side, box.resized, box.padding) == (128, (128, 64), (0, 0, 0, 0))
    assert Letterbox.of((1, 5000), 64).resized == (1, 64)


@pytest.mark.parametrize(
    ("size", "sides"), [((32, 64), (0, 0, 0, 0)), ((31, 33), (15, 16, 0, 1)), ((1, 1), (15, 16) * 2)]
)
def test_paddings(size: tuple[int, int], sides: tuple[int, int, int, int]) -> None:
    assert paddings(size) == sides


@pytest.mark.parametrize("size", [(90, 121), (121, 90), (33, 200), (64, 64)])
def test_masks_come_back_where_prompts_go(size: tuple[int, int]) -> None:
    """A blob drawn around a point in the input comes back around the point in the photo."""
    box = Letterbox.of(size, 256)
    left, right, top, bottom = box.padding
    x, y = size[1] * 0.7, size[0] * 0.3
    ((column, row),) = box.to_model(np.array([[x, y]]))
    rows = torch.arange(top + box.resized[0] + bottom)[:, None] + 0.5
    columns = torch.arange(left + box.resized[1] + right) + 0.5
    logits = 8 - ((rows - row).square() + (columns - column).square()).sqrt()
    mask = box.restore(logits[None, None])[0, 0] > 0
    assert mask.shape == size
    ys, xs = torch.nonzero(mask, as_tuple=True)
    assert abs(float(xs.float().mean()) + 0.5 - x) < 0.6
    assert abs(float(ys.float().mean()) + 0.5 - y) < 0.6
