"""The Square attack: its optimum where it is known, every query counted, and nothing shown that could not be saved."""

import dataclasses
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from endpoint import serve
from goals import LinearGoal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear import LinearSegmenter

from segrobust import wrap
from segrobust.attacks.budget import Box
from segrobust.attacks.queries import prior
from segrobust.attacks.queries.counting import Counted
from segrobust.attacks.queries.goal import LoseTheAnswers, mean_iou
from segrobust.attacks.queries.squares import Squares, draw_window, share_of
from segrobust.attacks.recipes import attack, make_recipe, settings_of
from segrobust.attacks.saving import within
from segrobust.errors import CapabilityError, UsageError
from segrobust.evaluation.metrics import prompt_ious
from segrobust.io.images import write_png
from segrobust.models.http import wrap_http
from segrobust.types import Budget, Image, Masks, Prompts

LEVEL = 130


def photo(seed=0, size=(16, 20), channel=1):
    """Its green is a little above the level, its other colours are anything."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    pixels[..., channel] = LEVEL + 4
    return Image(pixels, name=f"photo{seed}")


class Shown:
    """A function: every prompt is answered with the pixels whose green is above the level; it keeps what it sees."""

    def __init__(self, channel=1):
        self.channel = channel
        self.seen, self.prompts = [], []

    def __call__(self, pixels, prompts):
        self.seen.append(pixels)
        self.prompts.append(prompts)
        return np.repeat((pixels[..., self.channel] > LEVEL)[None], len(prompts), axis=0)


@pytest.fixture
def surrogate(monkeypatch):
    """A white box that is no other than the target, in its embedding."""
    monkeypatch.setattr(prior, "_load", lambda name: LinearSegmenter())


def test_the_optimum_of_a_black_box_is_found():
    """Where every green goes down, no pixel is left; and then nothing is asked any more."""
    green = Shown()
    result = attack(wrap(green), photo(), "square", queries=3000, size=0.2)
    assert result.loss[-1] == 0
    assert result.queries == len(green.seen) < 3000
    assert (result.image.pixels[..., 1] <= LEVEL).all()
    steps = result.loss[:-1]
    assert all(a >= b for a, b in pairwise(steps))


def test_what_is_saved_is_what_was_shown_when_least_was_left():
    green = Shown()
    image = photo()
    result = attack(wrap(green), image, "square", queries=40)
    scores = [np.mean(shown[..., 1] > LEVEL) for shown in green.seen]
    assert np.array_equal(green.seen[0], image.pixels)
    assert np.array_equal(result.image.pixels, green.seen[int(np.argmin(scores))])
    assert result.loss[-1] == pytest.approx(min(scores))
    assert all(np.abs(shown.astype(int) - image.pixels).max() <= 8 for shown in green.seen)
    assert (result.encoder_forward, result.encoder_backward) == (0, 0)


@pytest.mark.parametrize("queries", [2, 3, 17])
def test_a_function_is_called_as_often_as_allowed(queries):
    green = Shown()
    result = attack(wrap(green), photo(), "square", queries=queries)
    assert len(green.seen) == result.queries == queries
    assert all(len(prompts) == 16 for prompts in green.prompts)
    assert all(np.array_equal(prompts.points, green.prompts[0].points) for prompts in green.prompts)


def test_an_endpoint_is_sent_as_many_requests_as_allowed():
    with serve() as endpoint:
        one = wrap_http(endpoint.address, points=True, boxes=True, everything=False)
        assert attack(one, photo(), "square", queries=9).queries == len(endpoint.posts) == 9
        few = wrap_http(endpoint.address, points=True, boxes=True, everything=False, prompts_per_request=6)
        assert attack(few, photo(), "square", queries=10).queries == len(endpoint.posts) - 9 == 9  # three at a time
        with pytest.raises(UsageError, match="take 6 queries"):
            attack(few, photo(), "square", queries=5)
        assert len(endpoint.posts) == 18


def test_asking_what_is_under_a_click_is_a_query():
    green = Shown()
    result = attack(wrap(green), photo(), "square", queries=6, where=(3, 3))
    assert len(green.seen) == result.queries == 6
    assert [len(prompts) for prompts in green.prompts] == [1, 16, 16, 16, 16, 16]


def test_no_more_is_asked_than_allowed():
    target = Counted(wrap(Shown()), 1)
    prompts = Prompts.of(points=[(1, 1)])
    assert len(target.answer(photo(), prompts)) == 1
    with pytest.raises(UsageError, match="asked 1 times and may be asked 1 times"):
        target.answer(photo(), prompts)
    assert (target.asked, target.left) == (1, 0)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["square", "square-prior"]),
    seed=st.integers(0, 99),
    budget=st.builds(
        Budget,
        st.integers(1, 60).map(lambda levels: Fraction(levels, 255)),
        st.sampled_from(["linf", "l2", "contrast"]),
    ),
    size=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    part=st.floats(0.1, 1.0),
    queries=st.integers(2, 12),
)
def test_all_that_is_shown_is_inside_the_budget_and_the_region(surrogate, name, seed, budget, size, part, queries):
    image, green = photo(seed, size), Shown()
    where = np.random.default_rng(seed).random(size) < part
    where[0, 0] = True
    result = attack(wrap(green), image, name, budget=budget, seed=seed, where=where, queries=queries)
    assert len(green.seen) == result.queries <= queries
    for shown in (*green.seen, result.image.pixels):
        assert within(image.pixels, shown, budget)
        assert not (shown != image.pixels)[~where].any()


@pytest.mark.parametrize("name", ["square", "square-prior"])
def test_the_same_seed_gives_the_same_photo(surrogate, name):
    first, again, other = (attack(wrap(Shown()), photo(), name, seed=seed, queries=8) for seed in (1, 1, 2))
    assert np.array_equal(first.image.pixels, again.image.pixels)
    assert first.loss == again.loss
    assert not np.array_equal(first.image.pixels, other.image.pixels)


def test_a_surrogate_that_knows_spares_queries(surrogate, monkeypatch):
    """It says that red goes down, so the start is the optimum; the photo and the start are all that is asked."""
    monkeypatch.setattr(prior, "make_goal", lambda name: LinearGoal())
    result = attack(wrap(Shown(channel=0)), photo(channel=0), "square-prior", queries=60)
    assert (result.loss, result.queries, result.encoder_backward) == ((0,) * 60, 2, 10)


def test_squares_follow_the_surrogate(surrogate, monkeypatch):
    """From a start that knows nothing: red only goes down, green only up, blue only down; asked again after fifty."""
    monkeypatch.setattr(prior, "make_goal", lambda name: LinearGoal())
    seen = Shown(channel=0)
    result = attack(wrap(seen), photo(channel=0), "square-prior", queries=60, trust=1.0, walk=0, size=0.5)
    assert result.encoder_backward == 2
    start = seen.seen[1].astype(int)
    for shown in seen.seen[2:]:
        assert ((shown - start) * [1, -1, 1] <= 0).all()


def test_the_way_to_a_saved_photo_is_followed(tmp_path):
    image = photo()
    attacked = image.pixels.copy()
    attacked[..., 1] -= 8
    write_png(tmp_path / "photo0.png", attacked)
    for place in (tmp_path, tmp_path / "photo0.png"):
        result = attack(wrap(Shown()), image, "square-prior", queries=5, photo=str(place))
        assert (result.loss[0], result.queries) == (0, 2)
        assert result.encoder_backward == 0
    with pytest.raises(UsageError, match=r"photo0\.png has size \(16, 20\), the photo \(9, 9\)"):
        attack(wrap(Shown()), photo(size=(9, 9)), "square-prior", queries=5, photo=str(tmp_path / "photo0.png"))


def test_a_surrogate_must_have_gradients(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(UsageError, match="objective 'cosin'"):
        make_recipe("square-prior", objective="cosin")
    white = dataclasses.replace(make_recipe("square-prior", queries=4), goal=LoseTheAnswers(4))
    with pytest.raises(CapabilityError, match="only asked for masks"):
        attack(wrap(Shown()), photo(), white)


def test_noise_is_made_on_a_black_box_as_on_a_white_one():
    image = photo()
    for name in ("noise", "sign-noise"):
        black = attack(wrap(Shown()), image, name, seed=3)
        white = attack(LinearSegmenter(), image, name, seed=3)
        assert np.array_equal(black.image.pixels, white.image.pixels)
        assert (black.queries, black.loss) == (0, ())


def test_a_white_box_can_be_asked_too():
    result = attack(LinearSegmenter(), photo(), "square", queries=10)
    assert (result.queries, result.encoder_backward) == (10, 0)
    assert settings_of(make_recipe("square", queries=10))["goal"]["queries"] == 10


def test_paper_and_too_few_queries_are_refused():
    with pytest.raises(UsageError, match="queries must be at least 2"):
        attack(wrap(Shown()), photo(), "square", queries=1)
    with pytest.raises(UsageError, match="protocol paper"):
        attack(wrap(Shown()), photo(), "square", queries=5, protocol="paper")
    with pytest.raises(UsageError, match=r"size must be in \(0, 1\]"):
        make_recipe("square", size=0)
    with pytest.raises(UsageError, match="trust must be in"):
        make_recipe("square-prior", trust=2.0)
    with pytest.raises(UsageError, match="outside the photo of 20x16"):
        attack(wrap(Shown()), photo(), "square", queries=5, click="30,2")


def test_an_own_prompt_and_a_target_of_boxes():
    green = Shown()
    attack(wrap(green), photo(), "square", queries=2, click="3,4", box=(1, 2, 8, 9))
    assert green.prompts[0].points.tolist() == [[3, 4]]
    assert green.prompts[0].boxes.tolist() == [[1, 2, 8, 9]]
    green = Shown()
    attack(wrap(green, points=False), photo(), "square", queries=2, side=2)
    assert green.prompts[0].boxes.tolist() == [[0, 0, 10, 8], [10, 0, 20, 8], [0, 8, 10, 16], [10, 8, 20, 16]]


def test_points_lie_in_the_middle_of_their_cells():
    asked = LoseTheAnswers(2, side=2).prompts(wrap(Shown()), (16, 20))
    assert asked.points.tolist() == [[4.5, 3.5], [14.5, 3.5], [4.5, 11.5], [14.5, 11.5]]


@given(seed=st.integers(0, 999))
@settings(max_examples=20)
def test_the_score_is_that_of_the_evaluation(seed):
    draw = np.random.default_rng(seed)
    dense = draw.random((2, 4, 5, 6)) < draw.random((2, 4, 1, 1))
    dense[draw.random((2, 4)) < 0.3] = False
    a, b = (Masks.from_dense(one) for one in dense)
    assert mean_iou(a, b) == pytest.approx(prompt_ious(a, b, both_empty=1.0).mean())


def test_squares_shrink_as_the_authors_do():
    """By hand, of ten thousand: halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000."""
    expected = {0: 1, 10: 1, 11: 2, 51: 4, 201: 8, 501: 16, 1001: 32, 2001: 64, 4001: 128, 6001: 256, 8001: 512}
    for step, divided in expected.items():
        assert share_of(0.8, step, 10_000) == 0.8 / divided
    assert share_of(0.8, 2, 1000) == 0.8 / 2  # as step 20 of ten thousand


@given(seed=st.integers(0, 999), share=st.floats(0.001, 1))
@settings(max_examples=30)
def test_windows_lie_in_the_region(seed, share):
    image = torch.full((1, 3, 12, 17), 0.5)
    where = torch.zeros(12, 17, dtype=torch.bool)
    where[3:9, 2:7] = True
    box = Box.around(image, Budget.parse("8/255"), where)
    _, _, rows, columns = draw_window(box, share, torch.Generator().manual_seed(seed), image)
    assert 3 <= rows.start < rows.stop <= 9
    assert 2 <= columns.start < columns.stop <= 7
    assert rows.stop - rows.start == columns.stop - columns.start == max(1, min(round((share * 30) ** 0.5), 5))


def test_a_step_without_a_budget_asks_nothing():
    green = Shown()
    result = attack(wrap(green), photo(), "square", budget="0", queries=20)
    assert len(green.seen) == result.queries == 2
    assert np.array_equal(result.image.pixels, photo().pixels)


def test_wrong_energies_are_refused():
    with pytest.raises(ValueError, match="energy must be in"):
        Squares(energy=0)
