"""UAD (Lu et al., CVPR 2024, arXiv 2404.02585): toward the features of a deformed photo, away from the photo's."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from segrobust.attacks.budget import Box
from segrobust.attacks.loop import descend
from segrobust.attacks.objectives.deformation import Deformation, Flow
from segrobust.attacks.objectives.inner import AwayAndTowardInner, Stack, look, mean_cosine
from segrobust.attacks.objectives.inner_goals import InnerGoal
from segrobust.attacks.saving import round_to_8_bits
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective
from segrobust.attacks.updates import MomentumSign
from segrobust.errors import UsageError
from segrobust.models.geometry import resize


@dataclass(frozen=True)
class TowardADeformation(InnerGoal):
    """UAD's two stages: deform the photo, then approach what the deformed one's features are.

    First stage: Adam lowers ``L_D + coherence * L_C + fidelity * L_F`` with ``L_D = -mean |I - I^|`` (pixels in [0, 1];
    the code's default guidance, its alternative is SSIM), L_C the incoherence of the flow, and
    ``L_F = -mean_l cos(f_l(I + r), f_l(I^))``, how near a short attack r on the photo gets to it. Second stage:
    ``AwayAndTowardInner``.

    Two versions, because the authors' code detaches the features of I^: its L_F cannot reach the flow, and of the 40
    short attacks only the last, which is the second stage, is ever used.

    - ``code``: as theirs comes out. The flow never sees L_F, and the attacks whose result is thrown away (156
      gradients) are not made.
    - ``paper``: L_F is differentiated through f(I^) to the control points: for each epoch ``proxy`` gradients of the
      short attack and one of the flow, 5 x 40 = 200 beside the 40 of the second stage.

    In both, L_D and L_C are the code's. The paper has SSIM for L_D, and total variation and variance for L_C, whose
    weights are not known to us.

    Our reading where the source says nothing: cells are put together in turn from the four warped photos, shares of a
    warped pattern of cells that add up to 1; ``fidelity`` is 1.

    Attributes:
        version: ``code`` or ``paper``.
        deformation: see ``Deformation``.
        fidelity: weight of L_F (``paper``).
        proxy: steps of each short attack from the photo; 4.
        proxy_step: 2/255.
        weight: of the target against the photo, in the second stage and in L_F's attacks; 1.
    """

    version: str = "code"
    deformation: Deformation = field(default_factory=Deformation)
    fidelity: float = 1.0
    proxy: int = 4
    proxy_step: float = 2 / 255
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.version not in ("code", "paper"):
            raise UsageError(f"version {self.version!r} is not one of code, paper")
        if self.proxy < 1 or self.fidelity < 0:
            raise UsageError(f"proxy must be at least 1 and fidelity not negative, got {self.proxy}, {self.fidelity}")

    def __call__(self, scene: Scene) -> Objective:
        """The second stage's objective."""
        layers = self.layers(scene)
        pixels = scene.segmenter.resize(scene.source).detach()
        source = self._see(scene, pixels, layers)
        flow = Flow(pixels, self.deformation, scene.torch_stream("deformation"))
        optimiser = torch.optim.Adam([flow.sources, flow.targets], lr=self.deformation.rate)
        for _ in range(self.deformation.epochs):
            with torch.enable_grad():
                deformed = flow.deformed()
                loss = self.deformation.coherence * flow.incoherence() - (pixels - deformed).abs().mean()
                if self.version == "paper" and self.fidelity:
                    loss = loss + self.fidelity * self._fidelity(scene, pixels, deformed, source, layers)
            flow.sources.grad, flow.targets.grad = torch.autograd.grad(loss, [flow.sources, flow.targets])
            optimiser.step()
        with torch.no_grad():
            final = flow.deformed()
        scene.guide = round_to_8_bits(resize(final, scene.image.size)[0])
        return AwayAndTowardInner(source, self._see(scene, final, layers), layers, self.weight)

    def _fidelity(
        self, scene: Scene, pixels: Tensor, deformed: Tensor, source: Stack, layers: tuple[int, ...]
    ) -> Tensor:
        """L_F of a deformed photo, differentiable to it through the encoder."""
        white = scene.segmenter
        seen = white.observe(white.prepare(deformed), layers)
        target = look(seen, layers)
        objective = AwayAndTowardInner(source, tuple(t.detach() for t in target), layers, self.weight)
        near, trace = descend(
            white,
            pixels,
            Box.around(pixels, scene.budget),
            objective,
            MomentumSign(self.proxy_step, 0.0),
            steps=self.proxy,
            pixel_views=(),
            input_views=(),
            generator=torch.Generator(),
        )
        scene.encoded += trace.encoder_forward + 1
        scene.differentiated += trace.encoder_backward + 1
        return -mean_cosine(target, self._see(scene, near, layers))[0]

    def _see(self, scene: Scene, pixels: Tensor, layers: tuple[int, ...]) -> Stack:
        """Features of pixels at the model's resolution, without a gradient."""
        with torch.no_grad():
            seen = scene.segmenter.observe(scene.segmenter.prepare(pixels), layers)
        scene.encoded += len(pixels)
        return look(seen, layers)
