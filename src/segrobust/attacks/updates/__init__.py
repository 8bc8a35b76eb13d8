"""From gradients to a step."""

from segrobust.attacks.updates.base import Probe, State, Update
from segrobust.attacks.updates.sign import MomentumSign, gaussian_kernel, smooth

__all__ = ["MomentumSign", "Probe", "State", "Update", "gaussian_kernel", "smooth"]
