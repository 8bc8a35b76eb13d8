"""UMI-GRAT's two losses against a plain numpy writing of them that draws the same numbers."""

import numpy as np
import pytest
import torch

from segrobust.attacks.objectives.noise_robust import NoiseRobustCode, NoiseRobustPaper
from segrobust.attacks.seen import Seen

LAYERS = (2, 5, 6, 8)
SHAPE = (3, 2, 2)
VIEWS = 3


def made(seed, views=1, shapes=(SHAPE,) * 4):
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn((views, *shape), generator=draw) for shape in shapes)


@pytest.fixture
def scene():
    clean, now = made(0), made(1, VIEWS)
    embedding = made(2, VIEWS, ((4, 2, 2),))[0]
    return clean, now, embedding, Seen(embedding, dict(zip(LAYERS, now, strict=True)), count=VIEWS)


def test_the_papers_loss(scene):
    clean, now, _, seen = scene
    losses = NoiseRobustPaper(clean, LAYERS, 0.5, torch.Generator().manual_seed(7))(seen)
    draw = torch.Generator().manual_seed(7)
    for view in range(VIEWS):
        changes = [(f[view] - c[0]).numpy() for f, c in zip(now, clean, strict=True)]
        noise = [0.5 * torch.randn(SHAPE, generator=draw).numpy() for _ in range(3)]
        total = changes[-1] + sum(e * d for e, d in zip(noise, changes[:-1], strict=True)) / 3
        assert float(losses[view]) == pytest.approx(-np.abs(total).mean(), rel=1e-5)


def test_the_codes_loss(scene):
    clean, now, embedding, seen = scene
    home = made(3, 1, ((4, 2, 2),))[0]
    losses = NoiseRobustCode(clean, home, LAYERS, 2, 0.5, torch.Generator().manual_seed(7))(seen)
    draw = torch.Generator().manual_seed(7)
    chosen = sorted(torch.randperm(4, generator=draw)[:2].tolist())
    for view in range(VIEWS):
        terms = []
        for i in chosen:
            noise = 1 + 0.5 * torch.randn(SHAPE, generator=draw).numpy()
            change = (now[i][view] - clean[i][0]).numpy() / np.abs(clean[i].numpy()).mean()
            terms.append(noise * change)
        final = np.abs(0.9999 * embedding[view].numpy() - home[0].numpy()).mean()
        assert float(losses[view]) == pytest.approx(-np.abs(np.mean(terms, axis=0)).mean() - final, rel=1e-5)


def test_without_noise_equal_changes_add_up():
    clean = tuple(torch.ones(1, *SHAPE) for _ in LAYERS)
    seen = Seen(torch.ones(1, 1, 1, 1), {number: torch.full((1, *SHAPE), 1.5) for number in LAYERS}, count=1)
    home = torch.full((1, 1, 1, 1), 0.9999)
    code = NoiseRobustCode(clean, home, LAYERS, 4, 0.0, torch.Generator())
    assert float(code(seen)) == pytest.approx(-0.5)
    paper = NoiseRobustPaper(clean, LAYERS, 0.0, torch.Generator())
    assert float(paper(seen)) == pytest.approx(-0.5)


def test_at_the_photo_itself_there_is_a_gradient():
    clean = made(0)
    embedding = torch.ones(1, 4, 2, 2)
    features = embedding.clone().requires_grad_()
    seen = Seen(features, dict(zip(LAYERS, clean, strict=True)), count=1)
    loss = NoiseRobustCode(clean, embedding, LAYERS)(seen)
    (slope,) = torch.autograd.grad(loss.sum(), features)
    assert slope.abs().min() > 0


@pytest.mark.parametrize("kind", ["code", "paper"])
@pytest.mark.parametrize("shapes", [(SHAPE,) * 4, ((3, 4, 4), (3, 4, 4), SHAPE, SHAPE)])
def test_views_that_come_part_by_part_draw_the_same(kind, shapes):
    clean, now, embedding = made(0, 1, shapes), made(1, VIEWS, shapes), torch.ones(VIEWS, 4, 2, 2)

    def run(sizes):
        draw = torch.Generator().manual_seed(7)
        home = torch.zeros(1, 4, 2, 2)
        objective = (
            NoiseRobustPaper(clean, LAYERS, 0.5, draw)
            if kind == "paper"
            else NoiseRobustCode(clean, home, LAYERS, 3, 0.5, draw)
        )
        losses, first = [], 0
        for size in sizes:
            here = slice(first, first + size)
            parts = {number: layer[here] for number, layer in zip(LAYERS, now, strict=True)}
            losses.append(objective(Seen(embedding[here], parts, first=first, count=VIEWS)))
            first += size
        return torch.cat(losses)

    assert torch.allclose(run([3]), run([1, 2]), atol=1e-6)
    assert torch.allclose(run([3]), run([1, 1, 1]), atol=1e-6)


def test_layers_are_drawn_anew_for_every_gradient(scene):
    clean, _, _, seen = scene
    objective = NoiseRobustCode(clean, torch.zeros(1, 4, 2, 2), LAYERS, 2, 0.0, torch.Generator().manual_seed(0))
    assert len({round(float(objective(seen)[0]), 5) for _ in range(20)}) == 6  # 2 of 4 layers


def test_only_layers_of_the_deepest_shape_are_added(scene):
    shapes = ((2, 4, 4), SHAPE)
    clean, now = made(0, 1, shapes), made(1, 1, shapes)
    seen = Seen(torch.zeros(1, 1, 1, 1), dict(zip((0, 1), now, strict=True)), count=1)
    loss = NoiseRobustPaper(clean, (0, 1), 0.5, torch.Generator())(seen)
    assert float(loss) == pytest.approx(-float((now[1] - clean[1]).abs().mean()))
