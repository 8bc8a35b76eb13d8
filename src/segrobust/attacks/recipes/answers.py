"""Rivals of RGA that push the decoder's answers: Attack-SAM, ASK, S-RA, T-RA, cross-prompt, and one object that goes.

Points and boxes are in pixels of the photo and written ``120,80`` and ``10,20,200,180``.
"""

from collections.abc import Callable, Mapping
from functools import partial

from segrobust.attacks.objectives.mask_goals import (
    DenyPresence,
    Doubt,
    EnlargeMasks,
    RemoveFromHardest,
    RemoveJointMask,
    RemoveMasks,
)
from segrobust.attacks.objectives.masks import ABSENT, FLOOR
from segrobust.attacks.objectives.questions import Anywhere, Given, Grid, OnMasks, Questions
from segrobust.attacks.objectives.shown_goals import ShiftMasks, ShowMask
from segrobust.attacks.objectives.vanish import Vanish
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.values import Numbers, a_box, a_point
from segrobust.attacks.scene import Goal
from segrobust.attacks.updates import MomentumSign
from segrobust.attacks.views import Copies, SpectrumNoise
from segrobust.errors import UsageError

AIMS = ("removal", "enlargement", "shift", "target")


def attack_sam(
    *,
    name: str = "attack-sam",
    steps: int = 10,
    step_size: float = 2 / 255,
    aim: str = "removal",
    point: Numbers = "",
    box: Numbers = "",
    floor: float = FLOOR,
    right: float = 0.1,
    down: float = 0.1,
    mask: str = "other",
) -> Recipe:
    """Attack-SAM: remove, enlarge or shift the mask of one prompt, or make it a given one.

    Source: Zhang et al., arXiv 2305.00866. Its ClipMSE has Neg = -10; where mask is wanted, its mirror image is taken.
    The prompt is ``point`` or ``box``; one random point if neither is given.
    Defaults: PGD with 10 steps of 2/255 (to our knowledge the authors'; UAD's authors take 40), no random start. The
    shift, a tenth of the logits' side, and the equal weight of inside and outside of a wanted mask are ours. ``mask``
    (aim ``target``) is the path of a picture, or ``other``: the largest mask on the photo without the prompt's point.
    The loss is of the decoder's logits, as in UAD's code; adv-SAM's is of those at the photo's size.

    Raises:
        UsageError: an aim that is not known.
    """
    if aim not in AIMS:
        raise UsageError(f"aim {aim!r} is not one of {', '.join(AIMS)}")
    asked = _asked(point, box, Anywhere(1))
    goals: dict[str, Callable[[], Goal]] = {
        "removal": lambda: RemoveMasks(asked, floor=floor),
        "enlargement": lambda: EnlargeMasks(asked, floor=floor),
        "shift": lambda: ShiftMasks(asked, floor=floor, right=right, down=down),
        "target": lambda: ShowMask(asked, floor=floor, mask=mask),
    }
    return Recipe(name, steps, goals[aim](), MomentumSign(step_size, 0.0), reach=0.0)


def ask_joint(
    *, name: str = "ask-joint", steps: int = 40, step_size: float = 2 / 255, points: int = 400, floor: float = FLOOR
) -> Recipe:
    """ASK (Attack-SAM-K) as coded: K random points are one prompt of many clicks, whose one mask is removed.

    Source: Zhang et al., arXiv 2305.00866; UAD's code.
    Defaults: UAD's code, K = 400. The paper's idea is K prompts, ``ask-separate``: this may be why ASK is the weakest
    attack in UAD's logs.
    """
    goal = RemoveJointMask(Anywhere(points), floor=floor)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def ask_separate(
    *,
    name: str = "ask-separate",
    steps: int = 40,
    step_size: float = 2 / 255,
    points: int = 400,
    some: int = 0,
    floor: float = FLOOR,
) -> Recipe:
    """ASK as described: the masks of K random points, each a prompt of its own, are removed.

    Source: Zhang et al., arXiv 2305.00866.
    Defaults: as ``ask-joint``. All K are decoded for each gradient, and again on its way back, which costs more than a
    small encoder; ``some`` draws so many of them each time (ours).
    """
    goal = RemoveMasks(Anywhere(points), floor=floor, some=some)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def region_attack(
    *,
    name: str = "s-ra",
    steps: int = 100,
    step_size: float = 0.0,
    box: Numbers = "",
    side: int = 5,
    full: int = 0,
    draws: int = 0,
    rho: float = 0.1,
    sigma: float = 16 / 255,
    floor: float = FLOOR,
) -> Recipe:
    """S-RA and T-RA: all three masks of any click in a region are removed.

    Source: Shen, Li and Wang, CVPR 2024 workshop (arXiv 2404.08255).
    The region is ``box``; the box of the largest mask on the photo if none is given. ``side`` squared points on a grid.
    Defaults: the authors' code, 100 steps of epsilon / 100, so that the border of the budget is only reached at the
    end: ``step_size`` 0 is 8/255 over the number of steps. Its loss is of the logits at the model's input size, nearest
    to ``full`` 1. Nothing in S-RA is random.
    T-RA (``draws`` 5): each gradient is the mean over so many spectrum noises. In the authors' code their ``sigma`` of
    16/255 is added to values up to 255, where it is nothing; no gradient goes through the transform; and the
    perturbation is changed between the draws. Here sigma is a share of the pixel range and all is differentiated.
    """
    region = a_box(box, "box")
    goal = RemoveMasks(Grid(side, region), multimask=True, floor=floor, full=bool(full))
    views = (Copies(draws), SpectrumNoise(rho, sigma)) if draws else ()
    update = MomentumSign(step_size or 8 / 255 / max(1, steps), 0.0)
    return Recipe(name, steps, goal, update, pixel_views=views, reach=0.0)


def cross_prompt(
    *,
    name: str = "cross-prompt",
    steps: int = 100,
    step_size: float = 2 / 255,
    move: str = "embeddings",
    every: int = 15,
    masks: int = 16,
    radius: float = 0.5,
    reach: float = 0.05,
    floor: float = FLOOR,
) -> Recipe:
    """Cross-prompt min-max: masks are removed for points and boxes that move against the attack every so often.

    Source: CroPA (Luo et al., ICLR 2024). A variant of it for EVF-SAM minimises ClipMSE in 100 steps, with an ascent
    of the prompt's embedding in every 15th. Robust SAM (Long et al., AAAI 2025, arXiv 2504.08906) attacks across
    prompts too; its method is not public.
    Defaults: that variant's steps; the prompts (a point and a box in each of 16 masks), the ascent's radius and
    ``move`` ``positions`` are ours, see ``objectives.crowd``.
    """
    goal = RemoveFromHardest(OnMasks(1, True, masks), floor=floor, move=move, every=every, radius=radius, reach=reach)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def doubt(
    *, name: str = "doubt", steps: int = 40, step_size: float = 2 / 255, points: int = 64, least: float = 0.0
) -> Recipe:
    """Predicted IoUs are pushed down, at random points and for all three masks: segment everything drops its masks.

    Source: ours. AdvPCS (arXiv 2609.39265) does so with the presence logits of SAM 3's detector, see :func:`absence`.
    Defaults: those of ASK, with 64 points.
    """
    goal = Doubt(Anywhere(points), least=least)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def absence(
    *,
    name: str = "absence",
    steps: int = 40,
    step_size: float = 2 / 255,
    points: int = 64,
    boxes: int = 0,
    tau: float = ABSENT,
) -> Recipe:
    """Presence scores are pushed down: nothing is there, whatever is asked. Of SAM 2 and SAM 3 alone.

    Source: AdvPCS (arXiv 2609.39265), by what is said of it. There they are the presence logits of SAM 3's detector,
    for the hardest of text, points and boxes, pushed to log(0.01 / 0.99) in epsilon 10/255; boxes count five times.
    Defaults: tau is theirs, the rest of ``doubt``. Here the scores are those of the head for points and boxes. On a
    photo it draws masks of what it holds absent all the same, in videos it does not. ``boxes`` 1 asks with a point and
    the box of each of 16 masks instead of at random points.
    """
    goal = DenyPresence(OnMasks() if boxes else Anywhere(points), tau=tau)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def vanish(
    *,
    name: str = "vanish",
    steps: int = 40,
    step_size: float = 2 / 255,
    click: Numbers = "",
    box: Numbers = "",
    mask: str = "",
    points: int = 8,
    keep: float = 1.0,
    floor: float = FLOOR,
) -> Recipe:
    """One object loses its mask, however it is asked for; the others keep theirs.

    Source: ours, with Attack-SAM's ClipMSE. The object is under ``click``, in ``box``, or in ``mask`` (the path of a
    picture that is not black inside it); without any, the largest mask on the photo.
    Defaults: steps of ASK; ``keep`` weighs the other masks' answers, 0 lets them go too.
    """
    goal = Vanish(a_point(click, "click"), a_box(box, "box"), mask or None, points, keep, floor=floor)
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


def _asked(point: Numbers, box: Numbers, otherwise: Questions) -> Questions:
    given, corners = a_point(point, "point"), a_box(box, "box")
    if given is None and corners is None:
        return otherwise
    return Given((given,) if given else (), (corners,) if corners else ())


ANSWERS: Mapping[str, Callable[..., Recipe]] = {
    "attack-sam": attack_sam,
    "attack-sam-enlarge": partial(attack_sam, name="attack-sam-enlarge", aim="enlargement"),
    "attack-sam-shift": partial(attack_sam, name="attack-sam-shift", aim="shift"),
    "attack-sam-target": partial(attack_sam, name="attack-sam-target", aim="target"),
    "ask-joint": ask_joint,
    "ask-separate": ask_separate,
    "s-ra": region_attack,
    "t-ra": partial(region_attack, name="t-ra", draws=5),
    "cross-prompt": cross_prompt,
    "cross-prompt-positions": partial(cross_prompt, name="cross-prompt-positions", move="positions"),
    "doubt": doubt,
    "absence": absence,
    "vanish": vanish,
}
