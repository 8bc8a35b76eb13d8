"""Goals of inner features: TAP, ILPD, AA, PATA, PATA++ and the gradient-robust loss, as settings that make objectives.

The authors' settings are those of UAD's code (baselines on SAM-B) unless told otherwise. ``blocks`` are the blocks of
SAM-B that they attack, of ``of``; other encoders are attacked as deep, see ``depths.inner_layers``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segrobust.attacks.objectives.depths import UAD_BLOCKS, UMI_BLOCKS, inner_layers
from segrobust.attacks.objectives.inner import ApproachInner, LeaveInner, Stack, distance, look
from segrobust.attacks.objectives.noise_robust import NoiseRobustCode, NoiseRobustPaper
from segrobust.attacks.objectives.pictures import other_picture
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective, Seen
from segrobust.errors import UsageError


@dataclass(frozen=True)
class InnerGoal:
    """What goals of inner features share.

    Attributes:
        blocks: of an encoder of ``of`` blocks; none = the final embedding.
        of: see ``depths.inner_layers``.
    """

    blocks: tuple[int, ...] = UAD_BLOCKS
    of: int = 12

    @property
    def needs(self) -> tuple[str, ...]:
        """Inner layers."""
        return ("layers",) if self.blocks else ()

    def layers(self, scene: Scene) -> tuple[int, ...]:
        """Their numbers in the model, put down in the notes."""
        layers = inner_layers(scene.segmenter, self.blocks, self.of)
        if layers:
            scene.notes.append(f"inner layers {', '.join(map(str, layers))} of 0 to {scene.segmenter.depth - 1}")
        return layers


@dataclass(frozen=True)
class LeaveInnerFeatures(InnerGoal):
    """TAP (Zhou et al., ECCV 2018) and ILPD (Li et al., NeurIPS 2023) as UAD's code has them: see ``LeaveInner``.

    Attributes:
        decay: 0 is TAP, 0.5 ILPD.
        smooth: weight of TAP's second term, the sum over the input of ``|AvgPool3(x' - x)|`` in normalised units, which
            is raised too: a smooth change survives where a fine one is averaged away. UAD's code has 0.01.
    """

    decay: float = 0.0
    smooth: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise UsageError(f"decay must be in [0, 1), got {self.decay}")

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        layers = self.layers(scene)
        clean = look(scene.observe(scene.source, layers), layers)
        leave = LeaveInner(clean, layers, self.decay)
        if not self.smooth:
            return leave
        inputs = scene.segmenter.prepare(scene.segmenter.resize(scene.source))
        return SmoothResidual(leave, inputs, self.smooth, layers)


@dataclass(frozen=True, eq=False)
class SmoothResidual:
    """An objective minus ``weight * sum |AvgPool3(x' - x)|`` over the model's input: TAP's second term.

    Attributes:
        objective: the first term.
        clean: the photo as the model's input, ``(1, 3, S, S)``.
        weight: eta.
        layers: the first term's.
    """

    objective: Objective
    clean: Tensor
    weight: float
    layers: tuple[int, ...] = ()

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        assert seen.inputs is not None, "these features were seen of no input"
        pooled = torch.nn.functional.avg_pool2d(seen.inputs - self.clean, 3, stride=1, padding=1)
        return self.objective(seen) - self.weight * pooled.abs().sum((1, 2, 3))


@dataclass(frozen=True)
class ApproachAPicture(InnerGoal):
    """AA (Inkawhich et al., CVPR 2019), PATA and PATA++ (submitted to ICLR 2024, withdrawn): see ``ApproachInner``.

    PATA's paper attacks the final embedding (``blocks=()``), UAD's code the blocks.

    Attributes:
        picture: whose features are approached, see ``pictures.other_picture``. The authors take a random photo of
            SA-1B.
        rival: the competing picture of PATA's dominance term, likewise; None = no such term (AA).
        dominance: its weight, 0.1.
        renew: a new rival for every gradient (PATA++), which costs one forward pass each.
        balanced: divide the distance by what it is at the photo. In the authors' code it is in the thousands and the
            dominance below 1, so that PATA hardly differs from AA; this makes the two comparable.
    """

    picture: str = "leaves"
    rival: str | None = None
    dominance: float = 0.1
    renew: bool = False
    balanced: bool = False

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        layers = self.layers(scene)
        picture = other_picture(self.picture, scene.image, scene.stream("picture"))
        scene.guide = picture
        target = look(scene.observe(scene.place(picture), layers), layers)
        scale = 1.0
        if self.balanced:
            scale = float(distance(look(scene.observe(scene.source, layers), layers), target))
        objective = ApproachInner(target, None, layers, self.dominance, scale)
        if self.rival is None or not self.dominance:
            return objective
        rival, draw = self.rival, scene.stream("rival")

        def another() -> Stack:
            picture = scene.place(other_picture(rival, scene.image, draw))
            return look(scene.observe(picture, layers), layers)

        return RenewedRival(objective, another, layers) if self.renew else replace(objective, rival=another())


@dataclass(eq=False)
class RenewedRival:
    """PATA++: a new competing picture for every gradient; views of one gradient share it.

    Attributes:
        objective: with any rival.
        another: makes the features of a new one.
        layers: the objective's.
    """

    objective: ApproachInner
    another: Callable[[], Stack]
    layers: tuple[int, ...] = ()

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        gradient = seen.first == 0 and torch.is_grad_enabled()
        if gradient or self.objective.rival is None:
            self.objective = replace(self.objective, rival=self.another())
        return self.objective(seen)


@dataclass(frozen=True)
class LeaveThroughNoise(InnerGoal):
    """UMI-GRAT's gradient-robust loss (Xia et al., NeurIPS 2024): see ``noise_robust``.

    Attributes:
        blocks: of SAM-B; the authors' code has 4 .. 9.
        version: ``code`` or ``paper``.
        some: layers that are drawn for every gradient (``code``); 4.
        sigma: of the noise; 0.5 in the code, not known for the paper.
    """

    blocks: tuple[int, ...] = UMI_BLOCKS
    version: str = "code"
    some: int = 4
    sigma: float = 0.5

    def __post_init__(self) -> None:
        if self.version not in ("code", "paper"):
            raise UsageError(f"version {self.version!r} is not one of code, paper")
        if not self.blocks or self.some < 1 or self.sigma < 0:
            raise UsageError(
                f"the gradient-robust loss takes blocks, some >= 1 of them and sigma >= 0, got {self.blocks}, "
                f"{self.some}, {self.sigma}"
            )

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        layers = self.layers(scene)
        seen = scene.observe(scene.source, layers)
        clean = look(seen, layers)
        draw = scene.torch_stream("noise on layers")
        if self.version == "paper":
            return NoiseRobustPaper(clean, layers, self.sigma, draw)
        return NoiseRobustCode(clean, seen.features, layers, self.some, self.sigma, draw)
