"""Attacks that shift boundaries by some pixels instead of breaking masks."""

from collections.abc import Callable, Mapping
from functools import partial

from segrobust.attacks.objectives.boundary_goals import MARGIN, ApproachMovedEdges, MoveBoundaries
from segrobust.attacks.objectives.questions import OnMasks
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.updates import MomentumSign
from segrobust.errors import UsageError


def boundary_shift(
    *,
    name: str = "boundary-shift",
    steps: int = 40,
    step_size: float = 1 / 255,
    pixels: int = 8,
    aim: str = "answers",
    masks: int = 16,
    floor: float = MARGIN,
    similarity: str = "token-cosine",
) -> Recipe:
    """Every boundary moves by some pixels, outwards or (below 0) inwards; the masks stay otherwise.

    Source: ours, with Attack-SAM's targeted ClipMSE, or RGA's idea of a guide picture.
    ``aim`` ``answers``: the decoder is to answer each prompt with the clean mask grown or shrunk by ``pixels``; asked
    are a point in and the box of each of ``masks`` masks, and a logit of ``-floor`` on the right side is enough.
    ``guide``: the embedding is to be that of the photo with all regions grown or shrunk, in the photo's own colours.
    Defaults: 40 steps of half of RGA's, from the photo itself, since only a little is wanted.

    Raises:
        UsageError: an aim that is not known, or no pixels.
    """
    if aim == "answers":
        goal: MoveBoundaries | ApproachMovedEdges = MoveBoundaries(OnMasks(most=masks), floor=floor, pixels=pixels)
    elif aim == "guide":
        goal = ApproachMovedEdges(pixels, similarity)
    else:
        raise UsageError(f"aim {aim!r} is not one of answers, guide")
    return Recipe(name, steps, goal, MomentumSign(step_size, 0.0), reach=0.0)


BOUNDARIES: Mapping[str, Callable[..., Recipe]] = {
    "boundary-shift": boundary_shift,
    "boundary-shift-guide": partial(boundary_shift, name="boundary-shift-guide", aim="guide"),
}
