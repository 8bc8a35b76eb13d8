"""``torch.compile`` for the encoder's layers: what is compiled, what it needs, and that the gradient stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segrobust.errors import MissingError
from segrobust.models import load
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.memory import GradientMemory, Plan


def tiny(golden: Path, **options: Any) -> EncoderSegmenter:
    model = load(str(golden / "tiny-sam"), device="cpu", **options)
    assert isinstance(model, EncoderSegmenter)
    return model


def gradient(model: EncoderSegmenter) -> Tensor:
    inputs = torch.rand((1, 3, 256, 256), generator=torch.Generator().manual_seed(0)).requires_grad_()
    features = model.encode(inputs)
    (slope,) = torch.autograd.grad((features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum(), inputs)
    return slope


@pytest.mark.parametrize("again", [False, True])
def test_every_layer_is_compiled_once_and_also_computed_again(
    golden: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    compiled: list[Any] = []
    called: list[Any] = []

    def pretend(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled.append(function.__self__)  # type: ignore[attr-defined]

        def run(*args: Any) -> Any:
            called.append(function.__self__)  # type: ignore[attr-defined]
            return function(*args)

        return run

    monkeypatch.setattr(torch, "compile", pretend)
    monkeypatch.setattr(GradientMemory, "plan", lambda self, views: Plan(views, again=again, fits=True))
    model = tiny(golden, compile=True)
    slopes = [gradient(model), gradient(model)]
    layers = list(model.module.get_submodule("vision_encoder.layers").children())
    assert set(layers) <= set(compiled) == set(model._layers)
    assert len(compiled) == len(set(compiled))
    assert [called.count(layer) for layer in layers] == [4 if again else 2] * len(layers)
    assert torch.equal(slopes[0], slopes[1])
    assert torch.equal(slopes[0], gradient(tiny(golden)))


def test_without_a_compiler_one_line_says_what_to_do(
    golden: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingError, match=r"^--compile needs a C\+\+ compiler, and 'no-such-compiler' is not"):
        tiny(golden, compile=True)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"install it .* or leave --compile out"):
        tiny(golden, compile=True)
    tiny(golden)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # inductor's own imports warn
def test_the_compiled_gradient_is_the_same(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = gradient(tiny(golden))
    for again in (False, True):
        monkeypatch.setattr(
            GradientMemory, "plan", lambda self, views, again=again: Plan(views, again=again, fits=True)
        )
        found = gradient(tiny(golden, compile=True))
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
