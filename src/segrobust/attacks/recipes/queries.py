"""Attacks on black boxes: they are asked for masks, a limited number of times.

Points and boxes are in pixels of the photo and written ``120,80`` and ``10,20,200,180``.
"""

from collections.abc import Callable, Mapping

from segrobust.attacks.queries.goal import LoseTheAnswers
from segrobust.attacks.queries.prior import SavedPhoto, Surrogate
from segrobust.attacks.queries.squares import GuidedSquares, Squares
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.values import Numbers, a_box, a_point


def square(
    *,
    name: str = "square",
    queries: int = 1000,
    size: float = 0.05,
    side: int = 4,
    click: Numbers = "",
    box: Numbers = "",
) -> Recipe:
    """Square attack: random squares stay where the target's answers become less like those on the photo.

    Source: Andriushchenko et al., ECCV 2020 (arXiv 1912.00049), algorithms 1 and 2; their code's schedule. The score is
    ours: the mean IoU of the target's masks with its masks on the photo, for the same ``side`` x ``side`` points (or
    boxes, if it takes no points), or for ``click`` and ``box`` alone.
    Defaults: the authors' for ImageNet, ``size`` 0.05, but 1000 queries instead of 10000; all of them count, also the
    one about the photo. The search ends early when nothing is left of the answers. Under L2 it is not the authors'.
    """
    goal = LoseTheAnswers(queries, side, a_point(click, "click"), a_box(box, "box"))
    return Recipe(name, queries, goal, Squares(size), start="stripes")


def square_prior(
    *,
    name: str = "square-prior",
    queries: int = 1000,
    size: float = 0.05,
    side: int = 4,
    click: Numbers = "",
    box: Numbers = "",
    surrogate: str = "nano",
    objective: str = "cosine",
    photo: str = "",
    walk: int = 10,
    trust: float = 0.5,
    renew: int = 50,
) -> Recipe:
    """Square attack that knows a similar model: it starts where that one fails, and fills squares with its gradient.

    Source: ours, after the transfer priors of Cheng et al., NeurIPS 2019 (arXiv 1906.06919).
    First come ``walk`` sign steps on ``objective`` of the ``surrogate``; then a share ``trust`` of the squares takes
    the signs of the surrogate's gradient, which is asked for again after ``renew`` queries. With ``photo`` (an attacked
    photo, or a folder of them named after their photos) it is the way there that is followed; no surrogate is loaded.
    Defaults: the rest as ``square``.
    """
    prior = SavedPhoto(photo) if photo else Surrogate(surrogate, objective)
    goal = LoseTheAnswers(queries, side, a_point(click, "click"), a_box(box, "box"), prior)
    return Recipe(name, queries, goal, GuidedSquares(size, walk=walk, trust=trust, renew=renew), start="stripes")


QUERIES: Mapping[str, Callable[..., Recipe]] = {"square": square, "square-prior": square_prior}
