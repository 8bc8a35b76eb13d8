"""The gradient attacks that change the input: DIM, TIM, SI-NI, Admix, SSA, BSR, SIA; all with MI-FGSM's momentum."""

from collections.abc import Callable, Mapping

from segrobust.attacks.goals import make_goal
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.steps import NEAR
from segrobust.attacks.updates import MomentumSign, Nesterov
from segrobust.attacks.views import (
    Admixtures,
    BlockShuffle,
    Copies,
    ResizePad,
    ScaleCopies,
    SpectrumNoise,
    StructureChanges,
)


def dim(
    *,
    name: str = "dim",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    rate: float = 1.1,
    probability: float = 0.5,
    objective: str = "cosine",
) -> Recipe:
    """DIM: the image a little smaller, at a random place; the target moves with it.

    Source: Xie et al., CVPR 2019 (arXiv 1803.06978), section 3.3.
    Defaults: to 1.1 of the size with probability 0.5, momentum 1, the authors' (torchattacks: 0.9, no momentum).
    """
    views = (ResizePad(rate, probability),)
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, momentum), views, reach=NEAR)


def tim(
    *,
    name: str = "tim",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    smoothing: int = 15,
    objective: str = "cosine",
) -> Recipe:
    """TIM: the gradient smoothed by a Gaussian, as if the image had been shifted.

    Source: Dong et al., CVPR 2019 (arXiv 1904.02884), section 3.2.
    Defaults: a kernel of 15 x 15 that reaches 3 sigma, momentum 1, the authors' (torchattacks adds DIM).
    """
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, momentum, smoothing), reach=NEAR)


def si_ni(
    *,
    name: str = "si-ni",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    copies: int = 5,
    objective: str = "cosine",
) -> Recipe:
    """SI-NI-FGSM: NI-FGSM on copies of the image with smaller and smaller values.

    Source: Lin et al., ICLR 2020 (arXiv 1908.06281), algorithm 1.
    Defaults: 5 copies, momentum 1, the authors'.
    """
    return Recipe(name, steps, make_goal(objective), Nesterov(step_size, momentum), (ScaleCopies(copies),), reach=NEAR)


def admix(
    *,
    name: str = "admix",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    images: int = 3,
    strength: float = 0.2,
    copies: int = 5,
    objective: str = "cosine",
) -> Recipe:
    """Admix: a little of other pictures added, here pieces of the photo itself, with scale copies.

    Source: Wang et al., ICCV 2021 (arXiv 2102.00436), section 3.3.
    Defaults: 3 pictures, strength 0.2, 5 scale copies, momentum 1, the authors'.
    """
    views = (Admixtures(images, strength, copies),)
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, momentum), views, reach=NEAR)


def ssa(
    *,
    name: str = "ssa",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    copies: int = 20,
    rho: float = 0.5,
    sigma: float = 8 / 255,
    objective: str = "cosine",
) -> Recipe:
    """SSA: noise, and every frequency scaled at random.

    Source: Long et al., ECCV 2022 (arXiv 2207.05382), section 3.3.
    Defaults: 20 copies, rho 0.5, sigma equal to epsilon, the authors' (16/255 there, 8/255 here); momentum 1.
    """
    views = (Copies(copies), SpectrumNoise(rho, sigma))
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, momentum), views, reach=NEAR)


def bsr(
    *,
    name: str = "bsr",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    copies: int = 20,
    blocks: int = 3,
    angle: float = 24.0,
    objective: str = "cosine",
) -> Recipe:
    """BSR: blocks of the photo shuffled and turned; the target is cut and moved alike.

    Source: Wang et al., CVPR 2024 (arXiv 2308.10299), section 3.3.
    Defaults: 20 copies, 3 x 3 blocks, 24 degrees, momentum 1, as in the authors' code (the paper: 2 x 2 blocks).
    """
    views = (Copies(copies), BlockShuffle(blocks, angle))
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, momentum), views, reach=NEAR)


def sia(
    *,
    name: str = "sia",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 1.0,
    copies: int = 20,
    blocks: int = 3,
    objective: str = "cosine",
) -> Recipe:
    """SIA: each block of the photo changed in another way; the target moves with those that move.

    Source: Wang, Zhang and Zhang, ICCV 2023 (arXiv 2309.14700), section 3.2.
    Defaults: 20 copies, 3 x 3 blocks, momentum 1, the authors'.
    """
    views = (Copies(copies), StructureChanges(blocks))
    return Recipe(name, steps, make_goal(objective), MomentumSign(step_size, momentum), views, reach=NEAR)


INPUTS: Mapping[str, Callable[..., Recipe]] = {
    "dim": dim,
    "tim": tim,
    "si-ni": si_ni,
    "admix": admix,
    "ssa": ssa,
    "bsr": bsr,
    "sia": sia,
}
