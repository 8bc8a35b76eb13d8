"""Gradients that fit into memory: counted before they are computed, and the same however they are computed."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from contract import make_photo
from hypothesis import given
from hypothesis import strategies as st
from linear import LinearSegmenter
from torch import Tensor, nn

from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.recipes import attack
from segrobust.attacks.views import ScaleCopies
from segrobust.errors import MissingError, UsageError
from segrobust.models import load
from segrobust.models import memory as memory_module
from segrobust.models.activations import computed_again, find_layers, gradient_bytes, replaced_forwards
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.geometry import to_tensor
from segrobust.models.memory import GIB, GradientMemory, Need, Plan, generous_bound, make_plan, resident_memory
from segrobust.models.options import LoadOptions, parse_memory
from segrobust.models.sam import SamSegmenter
from segrobust.types import Masks, Prompts

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


# --- deciding ----------------------------------------------------------------------------------------------------

NEED = Need(kept=10, again=4)


@pytest.mark.parametrize(
    ("views", "together", "room", "plan"),
    [
        (3, 30, 30, Plan(3, again=False, fits=True)),
        (3, 30, 29, Plan(3, again=True, fits=True)),
        (3, 29, 99, Plan(2, again=False, fits=True)),
        (3, 5, 99, Plan(1, again=False, fits=True)),
        (3, 5, 9, Plan(1, again=True, fits=True)),
        (3, 30, 11, Plan(2, again=True, fits=True)),
        (3, 30, 4, Plan(1, again=True, fits=True)),
        (3, 30, 3, Plan(1, again=True, fits=False)),
        (3, 30, -5, Plan(1, again=True, fits=False)),
        (1, 99, float("inf"), Plan(1, again=False, fits=True)),
    ],
)
def test_plans(views: int, together: float, room: float, plan: Plan) -> None:
    assert make_plan(views, NEED, together, room) == plan


@given(st.integers(1, 9), st.floats(0.1, 9), st.floats(0, 1), st.floats(0.1, 99), st.floats(-9, 99), st.floats(-9, 99))
def test_what_is_free_decides_no_batch_unless_nothing_else_fits(
    views: int, kept: float, share: float, together: float, room: float, other: float
) -> None:
    need = Need(kept, max(kept * share, 1e-3))
    plans = [make_plan(views, need, together, each) for each in (room, other)]
    for plan, each in zip(plans, (room, other), strict=True):
        assert 1 <= plan.at_a_time <= views
        assert plan.fits == (plan.at_a_time * (need.again if plan.again else need.kept) <= each)
    widest = max(1, min(views, int(together // kept)))
    if min(room, other) >= widest * need.again:
        assert plans[0].at_a_time == plans[1].at_a_time


def fixed(limit: int | None, need: tuple[int, int] = (10 * GIB, 4 * GIB), bound: float = 1e30) -> GradientMemory:
    return GradientMemory("m", torch.device("cpu"), limit, lambda again: need[again], lambda: bound)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    state = {"free": 100.0 * GIB, "used": 1.0 * GIB}
    monkeypatch.setattr(memory_module, "free_memory", lambda device: state["free"])
    monkeypatch.setattr(memory_module, "used_memory", lambda device: state["used"])
    return state


def test_the_limit_counts_what_the_process_already_holds(machine: dict[str, float]) -> None:
    assert not fixed(35 * GIB // 2).plan(3).again  # 16 GiB with slack, and 1 GiB that is held
    machine["used"] = 2 * GIB
    assert fixed(35 * GIB // 2).plan(3).again
    assert fixed(35 * GIB // 2).plan(3).at_a_time == 1
    machine["free"] = 5 * GIB
    assert fixed(None).plan(3).again


def test_a_limit_that_cannot_hold_is_refused_with_one_that_can(machine: dict[str, float]) -> None:
    with pytest.raises(MissingError, match=r"6\.40 GiB with activations computed again.*--max-memory 7\.5GiB") as told:
        fixed(5 * GIB).plan(3)
    assert "\n" not in str(told.value)
    assert fixed(parse_memory("7.5GiB")).plan(3) == Plan(1, again=True, fits=True)


def test_without_a_limit_it_is_tried_all_the_same(machine: dict[str, float], caplog: pytest.LogCaptureFixture) -> None:
    machine["free"] = GIB
    assert fixed(None).plan(2) == Plan(1, again=True, fits=False)
    assert "trying all the same" in caplog.text


def test_a_plan_stays_when_memory_is_used_by_it(machine: dict[str, float]) -> None:
    memory = fixed(18 * GIB)
    assert memory.plan(3) == Plan(1, again=False, fits=True)
    machine["used"] = 17.5 * GIB
    assert memory.plan(1) == memory.plan(3) == Plan(1, again=False, fits=True)


def test_a_network_that_cannot_be_counted_saves_all_it_can(
    machine: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    def branch(again: bool) -> int:
        raise RuntimeError("branches on\na value")

    memory = GradientMemory("odd", torch.device("cpu"), None, branch, lambda: 1e30)
    assert memory.plan(3) == Plan(1, again=True, fits=True)
    assert "odd: cannot tell how much memory a gradient needs (branches on a value)" in caplog.text


def test_small_models_are_not_counted_at_all(caplog: pytest.LogCaptureFixture) -> None:
    nano = load("nano", device="cpu")
    assert isinstance(nano, EncoderSegmenter)
    with caplog.at_level(logging.INFO):
        assert nano.views_at_a_time(3) == 3
    assert "need" not in vars(nano._memory)


def test_this_process_holds_memory() -> None:
    assert 50 * 2**20 < resident_memory() < 64 * GIB
    assert memory_module.peak_memory() > 50 * 2**20


# --- the loop and the attack -------------------------------------------------------------------------------------


class OneAtATime(LinearSegmenter):
    def __init__(self) -> None:
        self.seen: list[int] = []

    def views_at_a_time(self, views: int) -> int:
        assert views == 5
        return 2

    def encode(self, inputs: Tensor) -> Tensor:
        self.seen.append(len(inputs))
        return inputs


def test_the_loop_asks_the_segmenter_unless_it_is_told() -> None:
    image = torch.rand((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    for batch, sizes in ((None, [2, 2, 1]), (3, [3, 2])):
        segmenter = OneAtATime()
        gradient_of(
            segmenter,
            image,
            lambda seen: seen.features.square().sum((1, 2, 3)),
            (ScaleCopies(5),),
            (),
            torch.Generator(),
            Trace(),
            batch,
        )
        assert segmenter.seen == sizes
    assert LinearSegmenter().views_at_a_time(7) == 7


def test_an_attack_within_an_impossible_limit_ends_with_advice(golden: Path) -> None:
    small = load(str(golden / "tiny-sam"), device="cpu", max_memory="1MB")
    with pytest.raises(MissingError, match=r"of a limit of 0\.00 GiB; use --max-memory \d+\.\dGiB"):
        attack(small, make_photo((20, 30)), "rga-untargeted", steps=1)


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
