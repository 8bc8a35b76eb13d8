"""What every adapter must keep, whatever its family; each family's tests call these with a small model.

A check raises AssertionError. None of them changes the segmenter it is given.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.recipes import attack
from segrobust.errors import CapabilityError
from segrobust.models.base import Embedding, Promptable, Segmenter, WhiteBox
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.geometry import to_tensor
from segrobust.types import Bools, Image, Masks, Prompts

SIZES = ((1, 1), (1, 9), (7, 5), (101, 131), (333, 200), (199, 334), (3000, 4000))
"""(height, width): tiny, odd, portrait, landscape, a camera's."""

MIB = 2**20


def make_photo(size: tuple[int, int], seed: int = 0) -> Image:
    """A smooth photo that is different for every seed."""
    small = np.random.default_rng(seed).integers(20, 236, (1, 3, 6, 8)).astype(np.float32)
    large = F.interpolate(torch.from_numpy(small), size, mode="bilinear", align_corners=False)
    return Image(large[0].permute(1, 2, 0).round().byte().numpy(), name=f"photo{seed}")


# --- gradients ---------------------------------------------------------------------------------------------------


def check_gradient(segmenter: WhiteBox, size: tuple[int, int] = (101, 131)) -> None:
    """A finite gradient reaches the pixels, through embedding, logits and inner layers; weights get none."""
    photo = to_tensor(make_photo(size).pixels, segmenter.device)[None].requires_grad_()
    features = segmenter.encode(segmenter.prepare(segmenter.resize(photo)))
    embedding = segmenter.embed(photo)
    torch.testing.assert_close(embedding.features, features, rtol=1e-4, atol=1e-5)
    ramp = torch.linspace(-1, 1, features.numel(), device=features.device).view_as(features)
    values = {"encode": (features * ramp).sum(), "embed": (embedding.features * ramp).sum()}
    height, width = size
    points, boxes = [(width / 2, height / 3)], [(width / 8, height / 8, width / 2, height / 2)]
    for multimask in (False, True):
        for kind, prompts in (("point", Prompts.of(points)), ("box", Prompts.of(boxes=boxes))):
            prediction = segmenter.masks(embedding, prompts, multimask=multimask)
            weights = torch.linspace(-1, 1, prediction.logits[0, 0].numel()).view_as(prediction.logits[0, 0])
            values[f"logits of a {kind}, multimask {multimask}"] = (prediction.logits * weights).mean()
    for what, value in values.items():
        (gradient,) = torch.autograd.grad(value, photo, retain_graph=True)
        assert torch.isfinite(gradient).all(), what
        reached = float((gradient.abs().amax(dim=1) > 0).float().mean())
        assert reached > 0.9, f"{what}: the gradient reaches {reached:.0%} of the pixels"
    module = getattr(segmenter, "module", None)
    assert module is None or not any(weight.requires_grad for weight in module.parameters())
    check_observed(segmenter)


def check_observed(segmenter: WhiteBox) -> None:
    """What is observed is what ``encode`` and ``embed`` give, with inner layers as maps that the photo moves."""
    photo = to_tensor(make_photo((101, 131)).pixels, segmenter.device)[None]
    inputs = segmenter.prepare(segmenter.resize(photo)).requires_grad_()
    assert segmenter.depth >= 2
    asked = sorted({0, segmenter.depth // 2, segmenter.depth - 1})
    observed = segmenter.observe(inputs, asked)
    embedding = segmenter.embed(photo)
    pairs = zip((observed.features, *observed.extra), (embedding.features, *embedding.extra), strict=True)
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert sorted(observed.layers) == asked
    for number, layer in observed.layers.items():
        assert layer.ndim == 4, number
        assert layer.shape[0] == 1
        assert layer.dtype == torch.float32
        (gradient,) = torch.autograd.grad(layer.square().sum(), inputs, retain_graph=True)
        assert gradient.abs().max() > 0, f"layer {number} does not depend on the photo"
    with torch.no_grad():
        bare = segmenter.observe(inputs)
        assert torch.equal(bare.features, segmenter.encode(inputs))
    assert not bare.layers
    with pytest.raises(CapabilityError, match=f"no inner layer {segmenter.depth}; its inner layers are 0 to"):
        segmenter.observe(inputs, [segmenter.depth])
    answers = segmenter.masks(Embedding(bare.features, embedding.geometry, bare.extra), Prompts.of([(50, 40)]))
    torch.testing.assert_close(
        answers.logits, segmenter.masks(embedding, Prompts.of([(50, 40)])).logits, rtol=1e-3, atol=1e-3
    )


# --- geometry ----------------------------------------------------------------------------------------------------


def check_geometry(segmenter: EncoderSegmenter, sizes: Sequence[tuple[int, int]] = SIZES, examples: int = 12) -> None:
    """A mask drawn at a known place of the photo comes back there, whatever the photo's size.

    First the decoder is replaced by one that draws at the prompt, in the model's pixels, as it is handed to it: the
    prompts' way in and the masks' way out must be inverse. Then the network is replaced by one that finds what is
    bright: the pixels' way in and the masks' way out must be inverse too. Beside ``sizes``, hypothesis tries others.
    """
    _check_low_resolution(segmenter)

    def at(size: tuple[int, int], seed: int) -> None:
        _check_prompts_come_back(segmenter, size, seed)
        if min(size) >= 3:
            with brightness_network(segmenter):
                _check_bright_thing(segmenter, size, seed, max(size) / min(segmenter.low_resolution) + 0.5)

    for seed, size in enumerate(sizes):
        at(size, seed)

    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 99))
    def any_size(height: int, width: int, seed: int) -> None:
        at((height, width), seed)

    any_size()


def check_black_box_geometry(
    segmenter: Segmenter, sizes: Sequence[tuple[int, int]] = SIZES, pixels: float = 64, examples: int = 12
) -> None:
    """The same for a segmenter that only answers.

    Args:
        segmenter: its network is replaced by one that finds what is bright (at least the prompted part of it).
        sizes: of photos; those of one or two pixels across are left out.
        pixels: of the mask along the photo's long side, before it is brought to the photo: one of them is the
            tolerance (beside half a pixel of the photo).
        examples: further sizes, drawn by hypothesis.
    """
    for seed, size in enumerate(size for size in sizes if min(size) >= 3):
        _check_bright_thing(segmenter, size, seed, max(size) / pixels + 0.5)

    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(3, 300), st.integers(3, 300), st.integers(0, 99))
    def any_size(height: int, width: int, seed: int) -> None:
        _check_bright_thing(segmenter, (height, width), seed, max(height, width) / pixels + 0.5)

    any_size()


@contextmanager
def brightness_network(segmenter: EncoderSegmenter) -> Iterator[None]:
    """The segmenter with another network behind it: every prompt's mask is what is brighter than grey."""

    def encode(inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        grey = inputs.mean(dim=1, keepdim=True)
        middle = (grey.amax(dim=(2, 3), keepdim=True) + grey.amin(dim=(2, 3), keepdim=True)) / 2
        return F.adaptive_avg_pool2d(grey, segmenter.low_resolution), (middle,)

    def decode(embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool) -> Any:
        n, k = len(_only(points, boxes)), 3 if multimask else 1
        return (embedding.features - embedding.extra[0]).expand(n, k, -1, -1), torch.ones(n, k)

    with _replaced(segmenter, _encode=encode, _decode=decode):
        yield


def _check_low_resolution(segmenter: EncoderSegmenter) -> None:
    with torch.no_grad():
        embedding = segmenter.embed(to_tensor(make_photo((30, 40)).pixels))
        for multimask, k in ((False, 1), (True, 3)):
            found = segmenter.masks(embedding, Prompts.of([(5, 5)], [(1, 1, 20, 20)]), multimask=multimask)
            nothing = segmenter.masks(embedding, Prompts.of(), multimask=multimask)
            assert found.logits.shape == (2, k, *segmenter.low_resolution)
            assert nothing.logits.shape == (0, k, *segmenter.low_resolution)
            assert found.predicted_iou.shape == (2, k)


def _check_prompts_come_back(segmenter: EncoderSegmenter, size: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = size
    low = max(size) / min(segmenter.low_resolution)  # one pixel of the low-resolution mask, in the photo
    reach = max(4 * low, 1.5)
    x, y = random.integers(width), random.integers(height)
    box = [0, 0, width, height]
    if min(size) > 1:
        box[:2] = random.integers(width // 2), random.integers(height // 2)
        box[2:] = random.integers(box[0] + 1, width + 1), random.integers(box[1] + 1, height + 1)

    def decode(embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool) -> Any:
        resized, original = embedding.geometry.resized, embedding.geometry.original
        if points is not None:
            half = torch.tensor([reach * resized[1] / original[1], reach * resized[0] / original[0]])
            boxes = torch.cat([points + 0.5 - half, points + 0.5 + half], dim=1)
        logits = _draw(_only(None, boxes), segmenter)[:, None].expand(-1, 3 if multimask else 1, -1, -1)
        return logits, torch.ones(logits.shape[:2])

    def encode(inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        assert inputs.shape[1:] == (3, segmenter.frame.side, segmenter.frame.side)
        return inputs[..., :1, :1], ()

    prompts = Prompts.of([(x, y)], [box])
    with _replaced(segmenter, _encode=encode, _decode=decode):
        answers = segmenter.answer(
            Image(np.zeros((height, width, 3), np.uint8)), prompts, "best" if seed % 2 else "single"
        )
    assert answers.size == size
    around = (x + 0.5 - reach, y + 0.5 - reach, x + 0.5 + reach, y + 0.5 + reach)
    # A point is scaled from the pixel's corner, as in the authors' code, so it may be half a pixel off.
    assert_rectangle(answers.mask(0), around, low + 0.5, f"point {(x, y)} of {size}")
    assert_rectangle(answers.mask(1), tuple(box), low, f"box {box} of {size}")


def _check_bright_thing(segmenter: Segmenter, size: tuple[int, int], seed: int, tolerance: float) -> None:
    """A bright rectangle in the dark is the answer to a point on it and to the box around it."""
    random = np.random.default_rng(seed)
    height, width = size
    x0, y0 = random.integers(1, max(2, width // 3)), random.integers(1, max(2, height // 3))
    x1, y1 = random.integers(width // 2 + 1, width + 1), random.integers(height // 2 + 1, height + 1)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    prompts = Prompts.of([((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)], [(x0, y0, x1, y1)])
    answers = segmenter.answer(Image(pixels), prompts)
    assert answers.size == size
    assert len(answers) == 2
    for mask in answers:
        assert_rectangle(mask, (x0, y0, x1, y1), tolerance, f"bright thing in {size}")


def assert_rectangle(mask: Bools, rectangle: Sequence[float], tolerance: float, what: str) -> None:
    """The mask is the rectangle (xyxy, edges of pixels), but for pixels within ``tolerance`` of its border.

    Where the rectangle leaves the photo at the left or top there is no border.
    """
    x0, y0, x1, y1 = rectangle
    x, y = np.arange(mask.shape[1]) + 0.5, np.arange(mask.shape[0])[:, None] + 0.5
    left, top = (-np.inf if edge <= 0 else edge for edge in (x0, y0))
    t = tolerance
    inside = (x > left + t) & (x < x1 - t) & (y > top + t) & (y < y1 - t)
    outside = (x < x0 - t) | (x > x1 + t) | (y < y0 - t) | (y > y1 + t)
    assert mask[inside].all(), f"{what}: {(~mask[inside]).sum()} pixels of the mask are missing"
    assert not mask[outside].any(), f"{what}: {mask[outside].sum()} pixels are masked that should not be"


def _draw(boxes: Tensor, segmenter: EncoderSegmenter) -> Tensor:
    """Logits ``(n, h, w)``: how far each low-resolution pixel lies inside each box of model pixels."""
    height, width = segmenter.low_resolution
    y = (torch.arange(height) + 0.5)[:, None] * segmenter.frame.side / height
    x = (torch.arange(width) + 0.5) * segmenter.frame.side / width
    x0, y0, x1, y1 = (column[:, None, None] for column in boxes.unbind(1))
    return torch.minimum(torch.minimum(x - x0, x1 - x), torch.minimum(y - y0, y1 - y))


def _only(points: Tensor | None, boxes: Tensor | None) -> Tensor:
    given = [prompts for prompts in (points, boxes) if prompts is not None]
    assert len(given) == 1
    assert len(given[0]) > 0
    return given[0]


@contextmanager
def _replaced(thing: object, **methods: Callable[..., Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, method in methods.items():
            stack.enter_context(patch.object(thing, name, method))
        yield


# --- batches and state -------------------------------------------------------------------------------------------


def check_sizes_together(segmenter: Promptable, tolerance: float = 1e-4) -> None:
    """Photos of different sizes in one batch give what each gives alone; ``tolerance`` is a share of the largest."""
    photos = [make_photo(size, seed) for seed, size in enumerate([(60, 80), (97, 41), (7, 5)])]
    prompts = Prompts.of([(3, 2)], [(0, 0, 4, 5)])
    assert segmenter.embed_photos([]) == []
    together = segmenter.embed_photos(photos)
    assert len(together) == len(photos)
    with torch.no_grad():
        answers = [segmenter.masks(embedding, prompts).logits for embedding in together]
    for photo, embedding, answer in zip(photos, together, answers, strict=True):
        with torch.no_grad():
            alone = segmenter.embed(to_tensor(photo.pixels)[None])
            asked = segmenter.masks(alone, prompts).logits
        assert embedding.geometry == alone.geometry
        pairs = [(embedding.features, alone.features), *zip(embedding.extra, alone.extra, strict=True), (answer, asked)]
        for found, wanted in pairs:
            assert not found.requires_grad
            torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * float(wanted.abs().max()))


def check_no_state(segmenter: Segmenter) -> None:
    """A photo's answers do not depend on what was asked before, and an attack in between changes nothing."""
    first, other = make_photo((48, 64), 1), make_photo((90, 50), 2)
    prompts = Prompts.of([(20, 30), (5, 7)], [(10, 10, 40, 40)])
    before = segmenter.answer(first, prompts)
    between = segmenter.answer(other, prompts)
    assert_same_masks(segmenter.answer(first, prompts), before)
    assert_same_masks(segmenter.answer(other, prompts), between)
    if segmenter.capabilities.gradient:
        attack(segmenter, other, "rga-untargeted", steps=1)
        assert_same_masks(segmenter.answer(first, prompts), before)


def assert_same_masks(found: Masks, wanted: Masks) -> None:
    """Pixel for pixel, and the same scores."""
    assert found.rles == wanted.rles
    np.testing.assert_array_equal(found.predicted_iou, wanted.predicted_iou)


def check_flat_memory(segmenter: Segmenter, photos: int = 50, allowed: int = 8 * MIB) -> None:
    """Nothing is kept of the photos that were answered, each of another size: no tensor more, no memory more."""

    def answer(index: int) -> None:
        photo = make_photo((280 + index, 400 - index), index)
        segmenter.answer(photo, Prompts.of([(20, 30)], [(10, 10, 40, 40)]))

    for index in range(5):
        answer(index)
    tensors, bytes_before = _tensors(), _resident()
    for index in range(5, 5 + photos):
        answer(index)
    grown = _resident() - bytes_before
    assert _tensors() <= tensors, "tensors are kept"
    assert grown <= allowed, f"{grown / MIB:.1f} MiB are kept after {photos} photos"


def _tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


def _resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
