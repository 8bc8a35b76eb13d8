"""Whose gradients a query attack may follow: a surrogate's, or none but the way to a photo that was attacked before."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from segrobust.attacks.band import Share
from segrobust.attacks.budget import Box
from segrobust.attacks.goals import make_goal
from segrobust.attacks.loop import Trace, Views
from segrobust.attacks.scene import Scene
from segrobust.attacks.updates.base import Probe
from segrobust.errors import UsageError
from segrobust.io.images import read_image
from segrobust.models.base import WhiteBox, require_white_box
from segrobust.models.ensemble import require_single
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Image


@dataclass(frozen=True, eq=False)
class Case:
    """What a prior is made for.

    Attributes:
        image: the photo.
        budget: how far the perturbation may go.
        seed: of every random number.
        attack: the recipe's name.
        where: the only pixels that may be changed, or how much of epsilon each has; None: all of it.
        trace: counts what the surrogate computes.
    """

    image: Image
    budget: Budget
    seed: int
    attack: str
    where: Share | None
    trace: Trace


class Prior(Protocol):
    """A frozen setting that gives gradients on a photo; ``needs``: what it takes, for the table of attacks."""

    @property
    def needs(self) -> str:
        """See the class."""
        ...

    def __call__(self, case: Case) -> Probe:
        """Gradients, in the CPU's memory, of an image there."""
        ...


@dataclass(frozen=True)
class Surrogate:
    """The gradients of a white box on the same photo.

    Attributes:
        model: a name, see ``models.load``.
        objective: what is lowered on it, a name from ``attacks.goals.GOALS``.
    """

    model: str = "nano"
    objective: str = "cosine"
    needs = "surrogate"

    def __post_init__(self) -> None:
        make_goal(self.objective)

    def __call__(self, case: Case) -> Probe:
        """The probe of the surrogate.

        Raises:
            CapabilityError: the surrogate is a black box, or an ensemble.
        """
        white = _load(self.model)
        source = to_tensor(case.image.pixels, white.device)[None]
        scene = Scene(white, case.image, source, case.budget, case.seed, case.attack, where=case.where)
        objective = make_goal(self.objective)(scene)
        where = None if case.where is None else torch.from_numpy(case.where.copy()).to(white.device)
        box = Box.around(source, case.budget, where)
        case.trace.encoder_forward += scene.encoded
        case.trace.encoder_backward += scene.differentiated
        return _There(Views(white, objective, (), (), scene.torch_stream("prior"), case.trace, box), white.device)


@dataclass(frozen=True)
class SavedPhoto:
    """Towards a photo that was attacked before, e.g. on a surrogate.

    Attributes:
        path: the attacked photo as PNG, or a folder of them, each named after its photo (``adv/`` of a run).
    """

    path: str
    needs = "an attacked photo"

    def __call__(self, case: Case) -> Probe:
        """The probe of the way there.

        Raises:
            UsageError: it has another size than the photo.
        """
        path = Path(self.path)
        attacked = read_image(path / f"{case.image.name}.png" if path.is_dir() else path)
        if attacked.size != case.image.size:
            raise UsageError(f"{attacked.path} has size {attacked.size}, the photo {case.image.size}")
        return Towards(to_tensor(attacked.pixels)[None] - to_tensor(case.image.pixels)[None])


@dataclass(frozen=True, eq=False)
class Towards:
    """A probe whose gradient is always the same: down it lies ``change``, ``(1, 3, H, W)``."""

    change: Tensor

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        """No loss, and the gradient."""
        return 0.0, -self.change

    def loss(self, image: Tensor) -> float:
        """No loss."""
        return 0.0


@dataclass(frozen=True, eq=False)
class _There:
    """A probe on another device."""

    probe: Probe
    device: torch.device

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        loss, gradient = self.probe(image.to(self.device))
        return loss, gradient.to(image)

    def loss(self, image: Tensor) -> float:
        return self.probe.loss(image.to(self.device))


@lru_cache(maxsize=1)
def _load(name: str) -> WhiteBox:
    from segrobust.models import load

    return require_single(require_white_box(load(name)), "a prior is")
