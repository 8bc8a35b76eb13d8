"""What a gradient keeps in memory: counted before it is computed, and the same however it is computed."""

from pathlib import Path

import pytest
import tiny_models
import torch
from contract import make_photo
from torch import Tensor, nn

from segrobust.models import load
from segrobust.models import memory as memory_module
from segrobust.models.activations import computed_again, find_layers, gradient_bytes, replaced_forwards
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.memory import GIB, GradientMemory, Plan, generous_bound
from segrobust.models.options import LoadOptions
from segrobust.models.sam import SamSegmenter

FAMILIES = ["tiny-sam", "nano", "sam2"]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, golden: Path, tmp_path: Path) -> EncoderSegmenter:
    name = request.param
    if name == "tiny-sam":
        name = str(golden / name)
    elif name != "nano":
        name = str(tiny_models.write(tiny_models.randomise(getattr(tiny_models, name)()), tmp_path / name))
    loaded = load(name, device="cpu")
    assert isinstance(loaded, EncoderSegmenter)
    return loaded


def gradient(model: EncoderSegmenter, views: int = 2) -> Tensor:
    side = model.frame.side
    inputs = torch.rand((views, 3, side, side), generator=torch.Generator().manual_seed(0)).requires_grad_()
    features = model.encode(inputs)
    (slope,) = torch.autograd.grad((features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum(), inputs)
    return slope


def decide(monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    monkeypatch.setattr(GradientMemory, "plan", lambda self, views: Plan(views, again=again, fits=True))


def kept_bytes(model: EncoderSegmenter) -> int:
    """What autograd really keeps of one forward pass, weights and all; each piece of memory once."""
    sizes: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        sizes[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    side = model.frame.side
    inputs = torch.zeros((1, 3, side, side), requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        features = model.encode(inputs)
    del features
    return sum(sizes.values())


# --- the same gradient -------------------------------------------------------------------------------------------


def test_computed_again_or_kept_the_gradient_is_the_same(
    model: EncoderSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    model._layers[0].register_forward_pre_hook(lambda *_: calls.append(1))
    decide(monkeypatch, again=False)
    kept, usual, bytes_kept = gradient(model), len(calls), kept_bytes(model)
    calls.clear()
    decide(monkeypatch, again=True)
    again = gradient(model)
    assert (again - kept).abs().max() <= 1e-5 * kept.abs().max()
    assert kept.abs().max() > 0
    assert usual == 1
    assert kept_bytes(model) < 0.8 * bytes_kept


def test_nothing_is_computed_again_without_a_gradient(model: EncoderSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GradientMemory, "plan", lambda self, views: pytest.fail("a plan without a gradient"))
    with torch.no_grad():
        model.encode(torch.zeros((1, 3, model.frame.side, model.frame.side), requires_grad=True))
    model.embed_photos([make_photo((20, 30))])


def test_the_layers_of_each_family(model: EncoderSegmenter) -> None:
    inside = {id(part) for part in getattr(model.module, "vision_encoder").modules()}  # noqa: B009
    kinds = {type(layer).__name__ for layer in model._layers if id(layer) in inside}
    expected = {
        "SamSegmenter": {"SamVisionLayer"},
        "Sam2Segmenter": {"Sam2MultiScaleBlock"},
        "nano": {"_Residual", "_Attention"},
    }["nano" if model.name == "nano" else type(model).__name__]
    assert expected <= kinds


def test_layers_do_not_contain_each_other() -> None:
    block = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.Linear(2, 2)))
    network = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([block]))
    assert find_layers(network) == tuple(block)


def test_replaced_forwards_are_put_back_even_when_nested() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), replaced_forwards([layer], lambda f: lambda x: f(x) + 1):  # noqa: PT012
        with replaced_forwards([layer], lambda f: lambda x: f(x) * 10):
            value = layer(torch.zeros(2))
        assert torch.equal(layer(torch.zeros(2)), layer.bias + 1)
        raise ZeroDivisionError
    assert torch.equal(value, (layer.bias + 1) * 10)
    assert "forward" not in vars(layer)


# --- counting ----------------------------------------------------------------------------------------------------


class Steps(nn.Module):
    """x -> tanh(W x) n times; its backward needs each tanh's output, and the next gradient."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList([nn.Sequential(nn.Linear(64, 64, bias=False), nn.Tanh()) for _ in range(n)])
        self.requires_grad_(False)
        self.memo: dict[str, Tensor] | None = None
        self.register_buffer("cache", None)

    def forward(self, x: Tensor) -> Tensor:
        self.memo, self.cache = {"x": x}, x
        for step in self.steps:
            x = step(x)
        return x


def test_bytes_are_those_of_arithmetic_by_hand() -> None:
    network = nn.Sequential(nn.ModuleList([]), Steps(5))[1]
    rows = 1000
    one = rows * 64 * 4
    measured = gradient_bytes(network, network, lambda: torch.empty(rows, 64))
    # Kept: the input and five tanh's (a frozen linear layer needs its weight alone). At the turn the newest product is
    # gone; on the way back there are, beside them, the gradient before and after a step.
    assert 7 * one <= measured <= 8.1 * one
    fewer = gradient_bytes(lambda x: checkpointed(network, x), network, lambda: torch.empty(rows, 64))
    assert fewer < measured + 2 * one
    assert network.memo is None, "what was cached on content-free tensors must be gone"
    assert network.cache is None


def checkpointed(network: Steps, x: Tensor) -> Tensor:
    with replaced_forwards(list(network.steps), computed_again):
        out: Tensor = network(x)
    return out


def test_weights_are_not_counted() -> None:
    wide = nn.Linear(4096, 4096, bias=False).requires_grad_(False)
    assert gradient_bytes(wide, wide, lambda: torch.empty(1, 4096)) < 100 * 4096


def test_the_count_follows_what_autograd_keeps(model: EncoderSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    before = gradient(model)
    need = model._memory.need
    assert need.again < need.kept
    decide(monkeypatch, again=False)
    weights = sum(weight.nbytes for weight in model.module.parameters())
    really = kept_bytes(model)
    assert 0.8 * (really - weights) < need.kept < 3 * really
    assert need.kept < generous_bound(model.module, model.frame.side)
    assert torch.equal(gradient(model), before), "counting must leave the network as it was"


def middle_sam(limit: int | None = None) -> SamSegmenter:
    """A SAM of 512 px with random weights, whose attention between all tokens takes most of its gradient's memory."""
    torch.manual_seed(0)
    network = tiny_models.SamModel(
        tiny_models.SamConfig(
            vision_config=tiny_models.SamVisionConfig(
                image_size=512, hidden_size=48, num_hidden_layers=4, num_attention_heads=4, output_channels=32,
                mlp_dim=96, num_pos_feats=16, global_attn_indexes=[1, 2, 3],
            ),
            prompt_encoder_config=tiny_models.SamPromptEncoderConfig(image_size=512, hidden_size=32),
            mask_decoder_config=tiny_models.SamMaskDecoderConfig(**tiny_models.HEAD),
        )
    )  # fmt: skip
    return SamSegmenter(network, "middle", LoadOptions("cpu", torch.float32, max_memory=limit))


def test_a_small_limit_makes_activations_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    free = middle_sam()
    assert not free._memory.plan(3).again
    need = free._memory.need
    monkeypatch.setattr(memory_module, "used_memory", lambda device: 5 * GIB)
    tight = middle_sam(5 * GIB + int(need.again * 3.1))
    assert tight._memory.plan(3) == Plan(3, again=True, fits=True)
    tight = middle_sam(5 * GIB + int(need.again * 1.5))
    assert tight.views_at_a_time(3) == 1
    assert kept_bytes(tight) < 0.5 * kept_bytes(free)
    assert torch.equal(gradient(tight, 1), gradient(free, 1))
