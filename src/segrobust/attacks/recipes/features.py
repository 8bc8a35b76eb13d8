"""Rivals of RGA that push features: Segment (Almost) Nothing, TAP, ILPD, AA, PATA, UMI-GRAT's loss and UAD.

``blocks`` are those of SAM-B (12 blocks, from 1) that the authors attack; other encoders are attacked at the same
depths, see ``objectives.depths.inner_layers``, and the record's notes name the layers. Empty = the final embedding.
"""

from collections.abc import Callable, Mapping
from functools import partial

from segrobust.attacks.goals import LeaveTheEmbedding, make_goal
from segrobust.attacks.objectives.decay import DecayInside
from segrobust.attacks.objectives.deformation import Deformation
from segrobust.attacks.objectives.deformation_goal import TowardADeformation
from segrobust.attacks.objectives.inner_goals import ApproachAPicture, LeaveInnerFeatures, LeaveThroughNoise
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.values import Numbers, whole_numbers
from segrobust.attacks.updates import AutoStep, MomentumSign

NEAR = 0.1
"""The random start, as a share of the budget, of attacks that begin next to the photo: there nothing has moved yet."""

UAD_BLOCKS = "4,5,6,7"


def almost_nothing(
    *, name: str = "almost-nothing", steps: int = 100, similarity: str = "l2", momentum: float = 0.75, rho: float = 0.75
) -> Recipe:
    """Segment (Almost) Nothing: away from the photo's embedding with APGD, for any prompt.

    Source: Croce and Hein, SaTML 2024 (arXiv 2311.14450); APGD: Croce and Hein, ICML 2020.
    Defaults: 100 steps, initial step twice epsilon (to our knowledge the authors'; their text was not available). They
    report small budgets, from 1/255. ``similarity`` is ``l2``, ``cosine`` or ``token-cosine``.
    """
    return Recipe(name, steps, LeaveTheEmbedding(similarity), AutoStep(momentum, rho))


def tap(
    *,
    name: str = "tap",
    steps: int = 40,
    step_size: float = 2 / 255,
    decay: float = 0.0,
    smooth: float = 0.01,
    blocks: Numbers = UAD_BLOCKS,
    of: int = 12,
) -> Recipe:
    """TAP: away from the inner features, after a square root that damps the large ones.

    Source: Zhou et al., ECCV 2018; UAD's code. There it is of blocks 4 to 7, as one long vector.
    Defaults: UAD's code. It starts at the photo plus normal noise of 0.01 in normalised units (about half a level), we
    at a tenth of the budget. TransferAttack's TAP on ImageNet has other weights (0.005 of the features) and a
    cross-entropy.
    """
    goal = LeaveInnerFeatures(whole_numbers(blocks, "blocks"), of, decay, smooth)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=NEAR)


def ilpd(
    *,
    name: str = "ilpd",
    steps: int = 40,
    step_size: float = 2 / 255,
    decay: float = 0.5,
    smooth: float = 0.01,
    blocks: Numbers = UAD_BLOCKS,
    of: int = 12,
) -> Recipe:
    """ILPD as UAD's authors have it: TAP's loss of features of which half is the photo's.

    Source: Li et al., NeurIPS 2023 (arXiv 2304.13410); UAD's code.
    Defaults: UAD's code. The paper's own method is another: :func:`ilpd_paper`.
    """
    return tap(name=name, steps=steps, step_size=step_size, decay=decay, smooth=smooth, blocks=blocks, of=of)


def ilpd_paper(
    *,
    name: str = "ilpd-paper",
    steps: int = 40,
    step_size: float = 2 / 255,
    keep: float = 0.1,
    sigma: float = 0.05,
    block: int = 5,
    of: int = 12,
    objective: str = "cosine",
) -> Recipe:
    """ILPD of its paper: gradients of the final objective, with the perturbation decayed at an inner layer.

    Source: Li et al., NeurIPS 2023 (arXiv 2304.13410), see ``objectives.decay``. There the objective is a classifier's.
    Defaults: the authors' 0.1 and 0.05; their layer of ResNet-50 is at 7/16 of its depth, as block 5 of 12 is nearly.
    They take 100 steps of 1/255. One more forward pass for every gradient. An objective that leaves the photo sees the
    noise as a change too, and at 0.05 a larger one than the attack's, of which a tenth is kept: ``sigma`` 0 is quieter.
    """
    goal = DecayInside(make_goal(objective), block, of, keep, sigma)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=NEAR)


def activation(
    *,
    name: str = "aa",
    steps: int = 40,
    step_size: float = 2 / 255,
    picture: str = "leaves",
    blocks: Numbers = UAD_BLOCKS,
    of: int = 12,
) -> Recipe:
    """AA, the activation attack: towards the inner features of another picture.

    Source: Inkawhich et al., CVPR 2019; UAD's code. There the distance is not squared, of blocks 4 to 7
    as one vector.
    Defaults: UAD's code, no random start. There the picture is a random photo of SA-1B; here ``leaves`` (synthetic),
    ``crop`` (a piece of the photo) or the path of a picture.
    """
    goal = ApproachAPicture(whole_numbers(blocks, "blocks"), of, picture)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def pata(
    *,
    name: str = "pata",
    steps: int = 40,
    step_size: float = 2 / 255,
    picture: str = "leaves",
    rival: str = "leaves",
    dominance: float = 0.1,
    renew: int = 0,
    balanced: int = 0,
    blocks: Numbers = UAD_BLOCKS,
    of: int = 12,
) -> Recipe:
    """PATA: AA, and the adversarial features are to dominate a rival picture's when the two are added.

    Source: Zheng, Zhang and Hao, arXiv 2310.10010; UAD's code.
    Dominance is from Zhang et al., CVPR 2020. The paper attacks the final embedding (``blocks`` empty), the code blocks
    4 to 7. PATA++ (``renew`` 1) takes a new rival for every gradient, one more forward pass each.
    Defaults: UAD's code, whose distance is so large beside the dominance that PATA hardly differs from AA;
    ``balanced`` 1 divides the distance by what it is at the photo.
    """
    chosen = whole_numbers(blocks, "blocks")
    goal = ApproachAPicture(chosen, of, picture, rival, dominance, bool(renew), bool(balanced))
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def gradient_robust(
    *,
    name: str = "gr",
    steps: int = 10,
    step_size: float = 2 / 255,
    momentum: float = 0.5,
    version: str = "code",
    some: int = 4,
    sigma: float = 0.5,
    blocks: Numbers = "4,5,6,7,8,9",
    of: int = 12,
) -> Recipe:
    """UMI-GRAT's gradient-robust loss: away from the embedding, with noise on inner layers. No universal start.

    Source: Xia et al., NeurIPS 2024 (arXiv 2410.20197). Its two versions, ``code`` and ``paper``, differ. The paper's
    f_m is the embedding or a layer; here it is the last of ``blocks``.
    Defaults: the authors' code, 10 steps in epsilon 10/255, momentum 0.5. There a step is the gradient over its mean
    size, clipped to between a quarter and all of alpha; here its sign. Their start is a universal perturbation and one
    step that brings the photo's mean embedding to that of many photos; ``start``, which all recipes have, takes the
    file of a perturbation, without that step.
    """
    goal = LeaveThroughNoise(whole_numbers(blocks, "blocks"), of, version, some, sigma)
    return Recipe(name, steps, goal, MomentumSign(step_size, momentum), reach=NEAR)


def uad(
    *,
    name: str = "uad-code",
    steps: int = 40,
    step_size: float = 2 / 255,
    version: str = "code",
    epochs: int = 40,
    proxy: int = 4,
    fidelity: float = 1.0,
    weight: float = 1.0,
    blocks: Numbers = UAD_BLOCKS,
    of: int = 12,
) -> Recipe:
    """UAD: towards the inner features of a deformed photo, away from the photo's own.

    Source: Lu et al., CVPR 2024 (arXiv 2404.02585). The two versions, ``code`` and ``paper``, differ, see
    ``objectives.deformation_goal``: in the code the deformation does not see the encoder. The distance from the photo
    and the terms of the flow are the code's in both.
    Defaults: the authors' code; ``paper`` makes 200 gradients for the deformation beside the 40 of the attack.
    """
    goal = TowardADeformation(
        whole_numbers(blocks, "blocks"), of, version, Deformation(epochs=epochs), fidelity, proxy, step_size, weight
    )
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=NEAR)


FEATURES: Mapping[str, Callable[..., Recipe]] = {
    "almost-nothing": almost_nothing,
    "almost-nothing-cosine": partial(almost_nothing, name="almost-nothing-cosine", similarity="cosine"),
    "tap": tap,
    "ilpd": ilpd,
    "ilpd-paper": ilpd_paper,
    "aa": activation,
    "pata": pata,
    "pata++": partial(pata, name="pata++", renew=1),
    "gr-code": partial(gradient_robust, name="gr-code", version="code"),
    "gr-paper": partial(gradient_robust, name="gr-paper", version="paper"),
    "uad-code": partial(uad, name="uad-code", version="code"),
    "uad-paper": partial(uad, name="uad-paper", version="paper"),
}
