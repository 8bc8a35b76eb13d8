"""models/windows.py: a window is what Geometry.restore gives there, and outside there is nothing above the level."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from segrobust.models.base import Prediction
from segrobust.models.geometry import Geometry
from segrobust.models.windows import Restorer, Window
from segrobust.types import decode_mask

CPU = torch.device("cpu")


@settings(max_examples=80)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.sampled_from([32, 50, 128]),
    centre=st.tuples(st.integers(0, 15), st.integers(0, 15)),
    radius=st.floats(0.5, 12),
    above=st.sampled_from([-1.0, 0.0]),
)
@example(height=150, width=225, side=128, centre=(3, 3), radius=1.0, above=-1.0)  # small: by matrix
@example(height=150, width=225, side=128, centre=(5, 5), radius=12.0, above=-1.0)  # large: by a whole restore
@example(height=100, width=225, side=128, centre=(15, 3), radius=2.0, above=0.0)  # in the padding
def test_window_is_the_full_restore(
    height: int, width: int, side: int, centre: tuple[int, int], radius: float, above: float
) -> None:
    geometry = Geometry.fit((height, width), side)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    logits = radius - ((y - centre[0]) ** 2 + (x - centre[1]) ** 2).sqrt() + 0.3 * torch.cos(7 * x + 3 * y)
    full = geometry.restore(logits[None, None])[0, 0].numpy()

    window = Restorer(geometry, (16, 16), CPU).window(logits, above)

    rest = full.copy()
    if window is not None:
        h, w = window.logits.shape
        place = (slice(window.y0, window.y0 + h), slice(window.x0, window.x0 + w))
        np.testing.assert_allclose(window.logits, full[place], atol=1e-5, rtol=0)
        rest[place] = -np.inf
    assert rest.max(initial=-np.inf) <= above + 1e-5


def test_window_of_a_small_mask_is_small() -> None:
    logits = torch.full((64, 64), -5.0)
    logits[20:22, 40:43] = 5.0
    window = Restorer(Geometry.fit((512, 512), 256), (64, 64), CPU).window(logits, -1.0)
    assert window is not None
    # 2 x 3 low-resolution pixels of 8 x 8; bilinear reaches half a pixel further on each side, twice.
    assert window.logits.shape == (26, 34)
    assert (window.y0, window.x0) == (155, 315)


def test_nothing_above_the_level_is_no_window() -> None:
    restorer = Restorer(Geometry.fit((40, 50), 32), (8, 8), CPU)
    assert restorer.window(torch.full((8, 8), -1.0), -1.0) is None


class Nearest(Geometry):
    """A geometry with a way back of its own."""

    def restore(self, logits: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(logits, self.original, mode="nearest")


def test_other_geometries_are_restored_their_own_way() -> None:
    logits = torch.full((8, 8), -3.0)
    logits[2, 3] = 3.0
    window = Restorer(Nearest.fit((80, 80), 32), (8, 8), CPU).window(logits, -1.0)
    assert window is not None
    assert window.box() == (30, 20, 39, 29)


def test_box_stability_and_rle_of_a_window() -> None:
    logits = np.full((4, 5), -9, np.float32)
    logits[1:3, 1:4] = 0.5
    logits[1, 1:4] = 2
    logits[3, 0] = -0.5
    window = Window(logits, x0=10, y0=20)
    assert window.box() == (11, 21, 13, 22)
    assert window.stability(1.0) == pytest.approx(3 / 7)
    mask = decode_mask(window.encode((50, 40), shift=(2, 3)))
    assert mask.shape == (50, 40)
    assert np.argwhere(mask).tolist() == [[y, x] for y in (24, 25) for x in (13, 14, 15)]


def test_empty_window_has_no_box() -> None:
    window = Window(np.full((4, 5), -0.5, np.float32), 0, 0)
    assert window.box() is None
    assert window.stability(0.1) == 0.0


@settings(max_examples=30)
@given(st.tuples(st.integers(2, 90), st.integers(2, 90)), st.integers(0, 1000), st.sampled_from(["single", "best"]))
def test_a_prediction_chooses_what_a_full_restore_shows(size: tuple[int, int], seed: int, rule: str) -> None:
    k = 1 if rule == "single" else 3
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, k, 8, 8, generator=generator) - 1.5
    logits[0] = -1  # nothing there
    prediction = Prediction(logits, torch.rand(4, k, generator=generator), Geometry.fit(size, 64))
    chosen = prediction.choose(rule)
    for i in range(4):
        full = prediction.full_mask(i, int(prediction.predicted_iou[i].argmax()))
        assert np.count_nonzero(chosen.mask(i) != full) <= 1  # a logit of rounding size at the threshold
    np.testing.assert_allclose(chosen.predicted_iou, prediction.predicted_iou.amax(dim=1))
    assert chosen.areas[0] == 0
