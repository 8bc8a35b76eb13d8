"""The promises of every adapter, on the models that are always here; and that a broken promise is noticed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from contract import check_flat_memory, check_geometry, check_gradient, check_no_state, check_sizes_together

from segrobust.models import load
from segrobust.models.base import Embedding
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.geometry import Geometry
from segrobust.models.sam import SamSegmenter

CHECKS = [check_gradient, check_geometry, check_sizes_together, check_no_state, check_flat_memory]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tiny_sam(tiny_sam: EncoderSegmenter, check: Callable[[EncoderSegmenter], None]) -> None:
    check(tiny_sam)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nano(check: Callable[[EncoderSegmenter], None]) -> None:
    check(load("nano", device="cpu"))


class Rounded(SamSegmenter):
    """Passes the photo through 8 bits: no gradient."""

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        return super().prepare((pixels * 255).round() / 255)


class SecondOnly(SamSegmenter):
    """Decodes with the photo that was embedded last."""

    def _encode(self, inputs: torch.Tensor) -> Any:
        self._last = super()._encode(inputs)
        return self._last

    def _decode(self, embedding: Embedding, *rest: Any) -> Any:
        return super()._decode(Embedding(self._last[0][-1:], embedding.geometry), *rest)


class Drifting(SamSegmenter):
    """Every answer moves the decoder a little."""

    def _decode(self, *arguments: Any) -> Any:
        self._dense = self._dense + 0.1
        return super()._decode(*arguments)


class Keeping(SamSegmenter):
    """Keeps every embedding it made."""

    kept: dict[int, torch.Tensor] = {}  # noqa: RUF012 - that is the mistake

    def _encode(self, inputs: torch.Tensor) -> Any:
        out = super()._encode(inputs)
        self.kept[len(self.kept)] = out[0]
        return out


class Turned(SamSegmenter):
    """Turns the photo around, but not the masks."""

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        return super().prepare(pixels).flip(2, 3)


class Uncropped(SamSegmenter):
    """Brings the padding back to the photo with the mask."""

    def geometry(self, size: tuple[int, int]) -> Geometry:
        return dataclasses.replace(super().geometry(size), enlarge=False)


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Rounded, check_gradient),
        (SecondOnly, check_sizes_together),
        (Drifting, check_no_state),
        (Keeping, check_flat_memory),
        (Turned, check_geometry),
        (Uncropped, check_geometry),
    ],
    ids=lambda thing: thing.__name__,
)
def test_a_broken_promise_is_noticed(tiny_sam: SamSegmenter, kind: Any, check: Callable[[Any], None]) -> None:
    broken = object.__new__(kind)
    broken.__dict__.update(tiny_sam.__dict__)
    with pytest.raises(AssertionError):
        check(broken)
