"""What an attack returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from segrobust.types.arrays import Pixels
from segrobust.types.budget import Budget
from segrobust.types.image import Image


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack returns; the scores are made by someone else, from the saved file.

    Attributes:
        image: the adversarial photo, 8 bits, original resolution.
        attack: the recipe's name.
        protocol: where the perturbation lived: ``strict`` or ``paper``.
        budget: the budget it was given.
        seed: the seed its streams were derived from.
        loss: the objective before each step, and after the last one.
        encoder_forward: images that went through the encoder.
        encoder_backward: images whose gradient came back.
        seconds: wall time of the attack.
        guide: the guide picture it used, if any.
        notes: conditions worth a line in the record.
        settings: everything the recipe was made of, as plain values.
        queries: how often the target was asked, by attacks that only ask.
        float_to_8bit: the share of what the steps gained, from the photo's own loss to the last image's, that saving
            in 8 bits gave back; None where there is no gain to speak of.
    """

    image: Image
    attack: str
    protocol: Literal["strict", "paper"]
    budget: Budget
    seed: int
    loss: tuple[float, ...]
    encoder_forward: int
    encoder_backward: int
    seconds: float
    guide: Pixels | None = None
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 0
    float_to_8bit: float | None = None
