"""What is pushed where: functions of what the model sees, one value per view, minimised by the loop."""

from segrobust.attacks.objectives.similarity import SIMILARITIES, AwayAndToward
from segrobust.attacks.seen import Objective

__all__ = ["SIMILARITIES", "AwayAndToward", "Objective"]
