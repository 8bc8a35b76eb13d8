"""From gradients to a step."""

from segrobust.attacks.updates.apgd import AutoStep
from segrobust.attacks.updates.base import Probe, State, Update
from segrobust.attacks.updates.neighbours import (
    EnhancedMomentum,
    FlatMinimum,
    GradientRelevance,
    Nesterov,
    VarianceTuned,
)
from segrobust.attacks.updates.robust import Expectation, ReversePush
from segrobust.attacks.updates.sign import MomentumSign, gaussian_kernel, smooth

__all__ = [
    "AutoStep",
    "EnhancedMomentum",
    "Expectation",
    "FlatMinimum",
    "GradientRelevance",
    "MomentumSign",
    "Nesterov",
    "Probe",
    "ReversePush",
    "State",
    "Update",
    "VarianceTuned",
    "gaussian_kernel",
    "smooth",
]
