"""The only attack loop: view, embed, differentiate, step, project. Everything that varies is passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segrobust.attacks.budget import Box
from segrobust.attacks.objectives import Objective
from segrobust.attacks.updates import State, Update
from segrobust.attacks.views import InputView, PixelView, apply_input_views, apply_pixel_views
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
        loss: mean over the views before each step, then the plain image's after the last one.
        encoder_forward: images embedded.
        encoder_backward: images whose gradient came back.
    """

    loss: list[float] = field(default_factory=list)
    encoder_forward: int = 0
    encoder_backward: int = 0


def descend(
    segmenter: WhiteBox,
    start: Tensor,
    box: Box,
    objective: Objective,
    update: Update,
    *,
    steps: int,
    pixel_views: Sequence[PixelView],
    input_views: Sequence[InputView],
    generator: torch.Generator,
    encoder_batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[Tensor, Trace]:
    """Minimise an objective of the embedding over the images inside a box.

    Args:
        segmenter: gives the gradient; its weights are not touched.
        start: ``(1, 3, H, W)`` in [0, 1]; projected into the box first. H and W are where the perturbation lives:
            the original pixels, or the model's (protocol ``paper``).
        box: the allowed images.
        objective: features to losses.
        update: gradient to step.
        steps: number of gradient steps.
        pixel_views: applied to the resized pixels, in order.
        input_views: applied to the prepared input, in order.
        generator: for the input views; on the CPU.
        encoder_batch: how many views go through the encoder at a time (None: what fits into memory, see
            ``WhiteBox.views_at_a_time``); bounds the memory, not the result.
        progress: called after every step.

    Returns:
        The last iterate ``(1, 3, H, W)`` and the trace.

    Raises:
        GradientError: a gradient is not finite, or zero everywhere.
    """
    image = box.project_(start.detach().clone())
    state, trace = State(), Trace()
    for step in range(steps):
        loss, gradient = gradient_of(
            segmenter, image, objective, pixel_views, input_views, generator, trace, encoder_batch
        )
        _check(gradient, loss, step)
        with torch.no_grad():
            update(image, gradient, state)
            box.project_(image)
        trace.loss.append(loss)
        if progress is not None:
            progress(step + 1, steps, loss)
    with torch.no_grad():
        trace.loss.append(float(objective(segmenter.embed(image).features).mean()))
    trace.encoder_forward += 1
    return image, trace


def gradient_of(
    segmenter: WhiteBox,
    image: Tensor,
    objective: Objective,
    pixel_views: Sequence[PixelView],
    input_views: Sequence[InputView],
    generator: torch.Generator,
    trace: Trace,
    encoder_batch: int | None = None,
) -> tuple[float, Tensor]:
    """Mean loss over the views and its gradient with respect to ``image``; counts its passes in ``trace``.

    The photo is resized once for all copies, and the gradients that come back from the encoder are summed
    before they go back through the resize, so the cost beside the encoder does not grow with the copies.
    """
    leaf = image.detach().requires_grad_(True)
    pixels = apply_pixel_views(pixel_views, segmenter.resize(leaf))
    inputs = apply_input_views(input_views, segmenter.prepare(pixels), generator)
    views = inputs.shape[0]
    total, slopes = 0.0, []
    for chunk in inputs.detach().split(encoder_batch or segmenter.views_at_a_time(views)):
        chunk.requires_grad_(True)
        loss = objective(segmenter.encode(chunk)).sum() / views
        (slope,) = torch.autograd.grad(loss * LOSS_SCALE, chunk)
        slopes.append(slope)
        total += float(loss.detach())
    (gradient,) = torch.autograd.grad(inputs, leaf, torch.cat(slopes) / LOSS_SCALE)
    trace.encoder_forward += views
    trace.encoder_backward += views
    return total, gradient


def _check(gradient: Tensor, loss: float, step: int) -> None:
    """Refuse a gradient with which the sign step would be meaningless."""
    size = float(gradient.abs().sum())
    if size != size or size == float("inf"):
        bad = int((~torch.isfinite(gradient)).sum())
        raise GradientError(
            f"step {step}: the gradient is not finite ({bad} of {gradient.numel()} values; loss {loss:.6g}); "
            "use float32, or report the photo"
        )
    if size == 0:
        raise GradientError(
            f"step {step}: the gradient is zero everywhere (loss {loss:.6g}); the embedding does not depend on the "
            "photo, or the start is the photo itself (use a random start)"
        )
