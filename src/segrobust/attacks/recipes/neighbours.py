"""The gradient attacks that look around the image before they step: VMI, VNI, PGN, EMI, GRA, RAP."""

from collections.abc import Callable, Mapping

from segrobust.attacks.goals import make_goal
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.steps import NEAR
from segrobust.attacks.updates import (
    EnhancedMomentum,
    FlatMinimum,
    GradientRelevance,
    ReversePush,
    VarianceTuned,
)


def vmi(
    *,
    name: str = "vmi",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    neighbours: int = 20,
    beta: float = 1.5,
    objective: str = "cosine",
) -> Recipe:
    """VMI-FGSM: MI-FGSM with the gradient's variance around the last point taken out.

    Source: Wang and He, CVPR 2021 (arXiv 2103.15571), algorithm 1.
    Defaults: 20 neighbours within 1.5 epsilon, momentum 1, the authors' (torchattacks: 5 neighbours).
    """
    update = VarianceTuned(step_size, momentum, neighbours=neighbours, beta=beta)
    return Recipe(name, steps, make_goal(objective), update, reach=NEAR)


def vni(
    *,
    name: str = "vni",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    neighbours: int = 20,
    beta: float = 1.5,
    objective: str = "cosine",
) -> Recipe:
    """VNI-FGSM: VMI-FGSM where the momentum leads.

    Source: Wang and He, CVPR 2021 (arXiv 2103.15571), section 3.3.
    Defaults: 20 neighbours within 1.5 epsilon, momentum 1, the authors'.
    """
    update = VarianceTuned(step_size, momentum, neighbours=neighbours, beta=beta, nesterov=True)
    return Recipe(name, steps, make_goal(objective), update, reach=NEAR)


def pgn(
    *,
    name: str = "pgn",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    neighbours: int = 20,
    beta: float = 3.0,
    delta: float = 0.5,
    objective: str = "cosine",
) -> Recipe:
    """PGN: toward low and flat loss, by penalising the gradient's norm around the image.

    Source: Ge et al., NeurIPS 2023 (arXiv 2306.05225), algorithm 1.
    Defaults: 20 neighbours within 3 epsilon, delta 0.5, momentum 1, the authors'.
    """
    update = FlatMinimum(step_size, momentum, neighbours=neighbours, beta=beta, delta=delta)
    return Recipe(name, steps, make_goal(objective), update, reach=NEAR)


def emi(
    *,
    name: str = "emi",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    samples: int = 11,
    radius: float = 7.0,
    objective: str = "cosine",
) -> Recipe:
    """EMI-FGSM: gradients averaged along the last step's direction.

    Source: Wang et al., BMVC 2021 (arXiv 2103.10609), algorithm 1.
    Defaults: 11 samples, linear, radius 7, momentum 1, the authors'.
    """
    update = EnhancedMomentum(step_size, momentum, samples=samples, radius=radius)
    return Recipe(name, steps, make_goal(objective), update, reach=NEAR)


def gra(
    *,
    name: str = "gra",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    neighbours: int = 20,
    beta: float = 3.5,
    objective: str = "cosine",
) -> Recipe:
    """GRA: the gradient mixed with that of its neighbours by how alike they are; smaller steps where it turns.

    Source: Zhu et al., ICCV 2023, algorithm 1.
    Defaults: 20 neighbours within 3.5 epsilon, decay 0.94, momentum 1, the authors'.
    """
    update = GradientRelevance(step_size, momentum, neighbours=neighbours, beta=beta)
    return Recipe(name, steps, make_goal(objective), update, reach=NEAR)


def rap(
    *,
    name: str = "rap",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 0.0,
    late: float = 0.25,
    inner: int = 8,
    objective: str = "cosine",
) -> Recipe:
    """RAP: sign steps at the worst point around the image, so that the loss is low in a whole region.

    Source: Qin et al., NeurIPS 2022 (arXiv 2210.05968), algorithm 1.
    Defaults: 8 inner steps in a ball of epsilon, from a quarter of the steps on (the authors: from 100 of 400).
    """
    update = ReversePush(step_size, momentum, late=late, inner=inner)
    return Recipe(name, steps, make_goal(objective), update, reach=NEAR)


NEIGHBOURS: Mapping[str, Callable[..., Recipe]] = {
    "vmi": vmi,
    "vni": vni,
    "pgn": pgn,
    "emi": emi,
    "gra": gra,
    "rap": rap,
}
