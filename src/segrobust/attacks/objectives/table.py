"""Goals by name, with their authors' defaults, for attacks that take any objective."""

from collections.abc import Callable, Mapping
from functools import partial

from segrobust.attacks.objectives.deformation_goal import TowardADeformation
from segrobust.attacks.objectives.inner_goals import ApproachAPicture, LeaveInnerFeatures, LeaveThroughNoise
from segrobust.attacks.objectives.mask_goals import Doubt, RemoveMasks
from segrobust.attacks.objectives.questions import Anywhere, OnMasks
from segrobust.attacks.scene import Goal

OBJECTIVES: Mapping[str, Callable[[], Goal]] = {
    "tap": LeaveInnerFeatures,
    "ilpd": partial(LeaveInnerFeatures, decay=0.5),
    "aa": ApproachAPicture,
    "pata": partial(ApproachAPicture, rival="leaves"),
    "gr": LeaveThroughNoise,
    "uad": TowardADeformation,
    "clip-mse": partial(RemoveMasks, OnMasks()),
    "doubt": partial(Doubt, Anywhere(64)),
}
"""``clip-mse`` removes the masks of a point and of the box of each of 16 masks of the photo; the others: see there."""
