"""Sizes of memory as people write them, and half precision."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from contract import make_photo
from hypothesis import given
from hypothesis import strategies as st

from segrobust.attacks.recipes import attack
from segrobust.errors import UsageError
from segrobust.models import load
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.geometry import to_tensor
from segrobust.models.options import parse_memory
from segrobust.types import Masks, Prompts

# --- sizes as people write them ----------------------------------------------------------------------------------


@given(
    st.floats(0.01, 4000),
    st.sampled_from([("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("kB", 10**3), ("MB", 10**6), ("GB", 10**9)]),
    st.sampled_from([str.lower, str.upper, str]),
    st.sampled_from(["", " "]),
)
def test_sizes_with_units(number: float, unit: tuple[str, int], case: Callable[[str], str], space: str) -> None:
    text = f"{number:.3f}{space}{case(unit[0])}"
    assert parse_memory(text) == int(float(f"{number:.3f}") * unit[1])


@given(st.integers(1, 2**59))
def test_plain_numbers_are_bytes(size: int) -> None:
    assert parse_memory(str(size)) == size if size < 2**53 else abs(parse_memory(str(size)) - size) < 2**10  # type: ignore[operator]
    assert parse_memory(size) == size
    assert parse_memory(None) is None


@given(st.one_of(st.text(max_size=8), st.sampled_from(["0", "-1GiB", "1e99GB", "6GiB6", "GiB", "nan", "inf", "1 2MB"])))
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    found = size_or_words(text)
    if isinstance(found, str):
        assert re.fullmatch(r"memory .* (is not a size|is out of range); write it like 6GiB or 500MB", found)
    else:
        assert 0 < found < 2**60
        assert any(character.isdigit() for character in text)


def size_or_words(text: str) -> int | str:
    try:
        size = parse_memory(text)
    except UsageError as error:
        return str(error)
    assert size is not None
    return size


# --- precision ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_autocast_multiplies_in_half_precision_and_returns_float32(golden: Path, kind: str) -> None:
    exact, cast = (load(str(golden / "tiny-sam"), device="cpu", autocast=name) for name in (None, kind))
    assert isinstance(cast, EncoderSegmenter)
    seen: dict[str, Any] = {}

    def look(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.setdefault(name, output)

    for name, part in cast.module.named_modules():
        if name.endswith(("attn.qkv", "q_proj")) or name == "prompt_encoder":
            part.register_forward_hook(look(name))
    photo = make_photo((50, 70))
    prompts = Prompts.of([(33.3, 21.7)], [(10, 10, 40, 30)])
    pixels = to_tensor(photo.pixels)[None].requires_grad_()
    embedding = cast.embed(pixels)
    prediction = cast.masks(embedding, prompts)
    halves = [output.dtype for name, output in seen.items() if name != "prompt_encoder"]
    assert len(halves) > 3
    assert set(halves) == {getattr(torch, kind)}
    assert {weight.dtype for weight in cast.module.parameters()} == {torch.float32}
    assert embedding.features.dtype == prediction.logits.dtype == prediction.predicted_iou.dtype == torch.float32
    wanted = exact.embed(pixels)  # type: ignore[attr-defined]
    error = (embedding.features - wanted.features).norm() / wanted.features.norm()
    assert 0 < error < 0.05
    (slope,) = torch.autograd.grad(prediction.logits.mean(), pixels)
    assert torch.isfinite(slope).all()
    assert slope.abs().max() > 0
    point = seen["prompt_encoder"][0]
    scaled = torch.tensor([[[[33.3 * 256 / 70, 21.7 * 256 / 70]]]])  # half precision would move it
    exactly = cast.module.get_submodule("prompt_encoder")(scaled, torch.ones((1, 1, 1), dtype=torch.int64), None, None)
    assert point.dtype == torch.float32
    torch.testing.assert_close(point, exactly[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("settings", [{"autocast": "float16"}, {"autocast": "bfloat16"}, {"dtype": "float16"}])
def test_an_attack_in_half_precision_has_a_gradient_and_keeps_its_budget(
    golden: Path, settings: dict[str, str]
) -> None:
    photo = make_photo((40, 60))
    model = load(str(golden / "tiny-sam"), device="cpu", **settings)  # type: ignore[arg-type]
    exact = load(str(golden / "tiny-sam"), device="cpu")
    nothing = Masks.from_rles(photo.size, [])
    results = [attack(m, photo, "rga-untargeted", steps=3, clean_masks=nothing) for m in (model, exact)]
    assert results[0].loss == pytest.approx(results[1].loss, abs=2e-3)
    assert results[0].loss != results[1].loss
    moved = results[0].image.pixels.astype(int) - photo.pixels
    assert 0 < abs(moved).max() <= 8


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"autocast": "float32"}, "autocast 'float32' is not one of bfloat16, float16"),
        ({"autocast": "int8"}, "dtype 'int8' is not one of"),
        ({"autocast": "bfloat16", "dtype": "float16"}, "autocast goes with dtype float32, got dtype float16"),
    ],
)
def test_meaningless_autocast_is_refused(golden: Path, settings: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(str(golden / "tiny-sam"), device="cpu", **settings)  # type: ignore[arg-type]
