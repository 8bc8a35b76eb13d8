"""The gradient attacks that differ in how they step: FGSM, BIM, PGD, APGD, MI, NI, and EOT."""

from collections.abc import Callable, Mapping

from segrobust.attacks.goals import make_goal
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.updates import AutoStep, Expectation, MomentumSign, Nesterov

NEAR = 0.1
"""The random start, as a share of the budget, of attacks whose authors start at the photo: there the gradient of a
similarity to the photo vanishes."""


def fgsm(*, name: str = "fgsm", objective: str = "cosine") -> Recipe:
    """FGSM: one sign step of the whole budget.

    Source: Goodfellow, Shlens and Szegedy, ICLR 2015 (arXiv 1412.6572), section 4.
    Defaults: epsilon 8/255 here. The step is larger than any budget, so that the photo lands in a corner of it.
    """
    return Recipe(name, 1, make_goal(objective), MomentumSign(step=1.0, momentum=0.0), reach=NEAR)


def bim(*, name: str = "bim", steps: int = 40, step_size: float = 2 / 255, objective: str = "cosine") -> Recipe:
    """BIM (I-FGSM): sign steps.

    Source: Kurakin, Goodfellow and Bengio, ICLR workshop 2017 (arXiv 1607.02533), section 2.2.
    Defaults: those of the comparisons on SAM, 40 steps of 2/255; the authors: steps of 1/255.
    """
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, 0.0), reach=NEAR)


def pgd(*, name: str = "pgd", steps: int = 40, step_size: float = 2 / 255, objective: str = "cosine") -> Recipe:
    """PGD: sign steps from a uniformly random start.

    Source: Madry et al., ICLR 2018 (arXiv 1706.06083), section 2.1.
    Defaults: those of the authors on CIFAR-10 with 7 steps, epsilon 8/255 and steps of 2/255; here 40 steps.
    """
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, 0.0))


def apgd(
    *, name: str = "apgd", steps: int = 40, momentum: float = 0.75, rho: float = 0.75, objective: str = "cosine"
) -> Recipe:
    """APGD: PGD whose step size is halved when progress stops; the best point is kept.

    Source: Croce and Hein, ICML 2020 (arXiv 2003.01690), algorithm 1.
    Defaults: the authors'; 40 steps instead of 100.
    """
    return Recipe(name, steps, make_goal(objective), AutoStep(momentum, rho))


def mi(
    *,
    name: str = "mi",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    objective: str = "cosine",
) -> Recipe:
    """MI-FGSM: sign steps along a momentum of the gradients.

    Source: Dong et al., CVPR 2018 (arXiv 1710.06081), algorithm 1.
    Defaults: momentum 1, the authors'; they take 10 steps of 1.6/255 in epsilon 16/255.
    """
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, momentum), reach=NEAR)


def ni(
    *,
    name: str = "ni",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    objective: str = "cosine",
) -> Recipe:
    """NI-FGSM: MI-FGSM whose gradient is taken where the momentum leads.

    Source: Lin et al., ICLR 2020 (arXiv 1908.06281), section 3.1.
    Defaults: momentum 1, the authors'; they take 10 steps of 1.6/255 in epsilon 16/255.
    """
    return Recipe(name, steps, make_goal(objective), Nesterov(step_size, momentum), reach=NEAR)


def eot_pgd(
    *,
    name: str = "eot-pgd",
    steps: int = 40,
    step_size: float = 2 / 255,
    draws: int = 10,
    objective: str = "cosine",
) -> Recipe:
    """EOT-PGD: PGD along the mean of several gradients, for targets that draw.

    Source: Athalye et al., ICML 2018 (arXiv 1707.07397), section 2.2.
    Defaults: 10 draws; torchattacks takes 2, the authors 30.
    """
    return Recipe(name, steps, make_goal(objective), Expectation(step_size, 0.0, draws=draws))


STEPS: Mapping[str, Callable[..., Recipe]] = {
    "fgsm": fgsm,
    "bim": bim,
    "pgd": pgd,
    "apgd": apgd,
    "mi": mi,
    "ni": ni,
    "eot-pgd": eot_pgd,
}
