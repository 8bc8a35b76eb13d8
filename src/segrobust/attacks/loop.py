"""The only attack loop: ask for gradients, step, project. Everything that varies is passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segrobust.attacks.budget import Box
from segrobust.attacks.seen import Objective, Seen, during, layers_of
from segrobust.attacks.updates.base import Probe, State, Update
from segrobust.attacks.views.base import Canvas, View, apply_views, into_input
from segrobust.errors import GradientError
from segrobust.models.base import WhiteBox

LOSS_SCALE = 2.0**14
"""The loss is scaled by this before it is differentiated, and the gradient scaled back: a cosine's gradient is so small
that float16 activations would lose it. A power of two changes no digit of a float32."""

Progress = Callable[[int, int, float], None]
"""Called after every step with (steps done, steps in all, loss before the step)."""


@dataclass
class Trace:
    """What happened in a run of the loop.

    Attributes:
        loss: what the update gave for each step (mean over the views before it), then the plain image's at the end.
        encoder_forward: images embedded.
        encoder_backward: images whose gradient came back.
    """

    loss: list[float] = field(default_factory=list)
    encoder_forward: int = 0
    encoder_backward: int = 0


def iterate(
    probe: Probe,
    start: Tensor,
    box: Box,
    update: Update,
    *,
    steps: int,
    generator: torch.Generator,
    trace: Trace,
    progress: Progress | None = None,
) -> Tensor:
    """The loop itself: step, project, again; whoever answers the probe.

    Args:
        probe: what the update asks.
        start: ``(1, 3, H, W)`` in [0, 1]; projected into the box first.
        box: the allowed images.
        update: makes the steps.
        steps: how many.
        generator: what the update draws from; on the CPU.
        trace: the losses are added to it.
        progress: called after every step.

    Returns:
        The last iterate ``(1, 3, H, W)``, inside the box.
    """
    image = box.project_(start.detach().clone())
    state = State(box, steps, generator=generator)
    for step in range(steps):
        state.step = step
        with torch.no_grad():
            loss = update(image, probe, state)
            box.project_(image)
        trace.loss.append(loss)
        if progress is not None:
            progress(step + 1, steps, loss)
    return image


def descend(
    segmenter: WhiteBox,
    start: Tensor,
    box: Box,
    objective: Objective,
    update: Update,
    *,
    steps: int,
    pixel_views: Sequence[View],
    input_views: Sequence[View],
    generator: torch.Generator,
    encoder_batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[Tensor, Trace]:
    """Minimise an objective over the images inside a box, by gradients of a model.

    Args:
        segmenter: gives the gradient; its weights are not touched.
        start: ``(1, 3, H, W)`` in [0, 1]; projected into the box first. H and W are where the perturbation lives:
            the original pixels, or the model's (protocol ``paper``).
        box: the allowed images.
        objective: what is seen to losses.
        update: gradients to step.
        steps: number of steps.
        pixel_views: applied to the resized pixels, in order.
        input_views: applied to the prepared input, in order.
        generator: for the views and the update; on the CPU.
        encoder_batch: how many views go through the encoder at a time (None: what fits into memory, see
            ``WhiteBox.views_at_a_time``); bounds the memory, not the result.
        progress: called after every step.

    Returns:
        The last iterate ``(1, 3, H, W)`` and the trace.

    Raises:
        GradientError: a gradient is not finite, or the first one zero everywhere, see :class:`GradientCheck`.
    """
    trace = Trace()
    probe = Views(segmenter, objective, pixel_views, input_views, generator, trace, box, encoder_batch)
    image = iterate(probe, start, box, update, steps=steps, generator=generator, trace=trace, progress=progress)
    trace.loss.append(probe.loss(image))
    return image, trace


@dataclass(eq=False)
class GradientCheck:
    """Refuses gradients of one probe with which an attack would not be one.

    Not finite is never right. Zero everywhere is wrong as long as there has been no other: the embedding does not
    depend on the photo. After that a loss may be as low as it can be, or all that these views ask: a step then follows
    the momentum alone, if there is one, and the next views may ask more.

    Attributes:
        patience: so many zero gradients at the start are refused.
        passed: there has been a gradient.
    """

    patience: int = 1
    passed: bool = False
    _zeros: int = 0

    def __call__(self, gradient: Tensor, loss: float, step: int) -> None:
        """Look at the next gradient.

        Raises:
            GradientError: it is refused.
        """
        size = float(gradient.abs().sum())
        if size != size or size == float("inf"):
            bad = int((~torch.isfinite(gradient)).sum())
            raise GradientError(
                f"step {step}: the gradient is not finite ({bad} of {gradient.numel()} values; loss {loss:.6g}); "
                "use float32, or report the photo"
            )
        self.passed |= size > 0
        self._zeros += not self.passed
        if self._zeros >= self.patience and not self.passed:
            raise GradientError(
                f"step {step}: the gradient is zero everywhere (loss {loss:.6g}); the embedding does not depend on the "
                "photo, or the start is the photo itself (use a random start)"
            )


@dataclass(frozen=True, eq=False)
class Views:
    """The probe of a white box: the image through the views, and the gradient back; see :func:`descend`."""

    segmenter: WhiteBox
    objective: Objective
    pixel_views: Sequence[View]
    input_views: Sequence[View]
    generator: torch.Generator
    trace: Trace
    box: Box
    encoder_batch: int | None = None
    check: GradientCheck = field(default_factory=GradientCheck)

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        """Mean loss over fresh views and its gradient, zero where the image may not be changed.

        Raises:
            GradientError: see :class:`GradientCheck`.
        """
        views = (self.pixel_views, self.input_views, self.generator)
        loss, gradient = gradient_of(self.segmenter, image, self.objective, *views, self.trace, self.encoder_batch)
        if self.box.where is not None:
            gradient.mul_(self.box.where)
        self.check(gradient, loss, len(self.trace.loss))
        return loss, gradient

    @torch.no_grad()
    def loss(self, image: Tensor) -> float:
        """The loss of the plain image."""
        inputs = self.segmenter.prepare(self.segmenter.resize(image))
        observed = self.segmenter.observe(inputs, layers_of(self.objective))
        geometry = self.segmenter.geometry((image.shape[-2], image.shape[-1]))
        self.trace.encoder_forward += len(inputs)
        shown = (observed.features, observed.layers, observed.extra)
        seen = Seen(*shown, self.segmenter, geometry, count=len(inputs), inputs=inputs)
        return float(self.objective(seen).mean())


@torch.enable_grad()
def gradient_of(
    segmenter: WhiteBox,
    image: Tensor,
    objective: Objective,
    pixel_views: Sequence[View],
    input_views: Sequence[View],
    generator: torch.Generator,
    trace: Trace,
    encoder_batch: int | None = None,
) -> tuple[float, Tensor]:
    """Mean loss over the views and its gradient with respect to ``image``; counts its passes in ``trace``.

    The photo is resized once for all copies, and the gradients that come back from the encoder are summed
    before they go back through the resize, so the cost beside the encoder does not grow with the copies.
    """
    leaf = image.detach().requires_grad_(True)
    geometry = segmenter.geometry((image.shape[-2], image.shape[-1]))
    canvas = apply_views(pixel_views, Canvas(segmenter.resize(leaf)), generator)
    inputs = segmenter.prepare(canvas.values)
    motion = into_input(canvas.motion, geometry, (inputs.shape[-2], inputs.shape[-1]))
    canvas = apply_views(input_views, Canvas(inputs, motion), generator)
    views = len(canvas)
    total, slopes, first = 0.0, [], 0
    for chunk in canvas.values.detach().split(encoder_batch or segmenter.views_at_a_time(views)):
        chunk.requires_grad_(True)
        with during(objective, first):
            observed = segmenter.observe(chunk, layers_of(objective))
        seen = Seen(
            observed.features, observed.layers, observed.extra, segmenter, geometry, canvas.motion, first, views, chunk
        )
        loss = objective(seen).sum() / views
        (slope,) = torch.autograd.grad(loss * LOSS_SCALE, chunk)
        slopes.append(slope)
        total += float(loss.detach())
        first += len(chunk)
    (gradient,) = torch.autograd.grad(canvas.values, leaf, torch.cat(slopes) / LOSS_SCALE)
    trace.encoder_forward += views
    trace.encoder_backward += views
    return total, gradient
