"""How many views at a time, and whether activations are computed again, by what is free and what is allowed."""

import logging
from pathlib import Path

import pytest
import torch
from contract import make_photo
from hypothesis import given
from hypothesis import strategies as st
from linear import LinearSegmenter
from torch import Tensor

from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.recipes import attack
from segrobust.attacks.views import ScaleCopies
from segrobust.errors import MissingError
from segrobust.models import load
from segrobust.models import memory as memory_module
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.memory import GIB, GradientMemory, Need, Plan, make_plan, resident_memory
from segrobust.models.options import parse_memory

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
