"""What is done to a family's prompt encoder while an attack asks: many clicks as one prompt, or moved embeddings.

Every family with a prompt encoder keeps it under the name ``prompt_encoder``. It is hooked from outside, so that no
family has to know of attacks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segrobust.errors import CapabilityError
from segrobust.models.base import WhiteBox
from segrobust.types import Floats


def prompt_encoder(white: WhiteBox) -> nn.Module:
    """The model's prompt encoder.

    Raises:
        CapabilityError: the family has none.
    """
    encoder = getattr(getattr(white, "module", None), "prompt_encoder", None)
    if not isinstance(encoder, nn.Module):
        raise CapabilityError(
            f"model {white.name!r} has no prompt encoder that an attack could reach; use the same attack with single "
            "prompts, or a SAM such as 'nano'"
        )
    return encoder


@contextmanager
def joined(encoder: nn.Module, points: Floats) -> Iterator[None]:
    """Inside the context, whoever asks with one click asks with all of these at once: one prompt, one mask.

    Args:
        encoder: of a family that takes clicks with labels.
        points: ``(k, 2)`` xy in pixels of the model's input; all are positive clicks.

    Raises:
        CapabilityError: a prompt of the family holds fewer clicks.
    """
    clicks = torch.from_numpy(np.asarray(points, np.float32))

    def all_of_them(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(all_of_them(part) for part in value)
        if not isinstance(value, Tensor):
            return value
        if value.is_floating_point():
            return clicks.to(value).expand(*value.shape[:-2], *clicks.shape)
        return value[..., :1].expand(*value.shape[:-1], len(clicks))

    def check(_: nn.Module, __: Any, output: Any) -> None:
        tokens: Tensor = output[0] if isinstance(output, tuple) else output
        if tokens.shape[-2] < len(clicks):  # EfficientSAM drops what is beyond its six without a word
            raise CapabilityError(
                f"a prompt of this model holds {tokens.shape[-2]} clicks, not {len(clicks)}; ask with fewer points, or "
                "with one prompt for each"
            )

    hooks = (
        encoder.register_forward_pre_hook(lambda _, given: all_of_them(given)),
        encoder.register_forward_hook(check),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def shifted(encoder: nn.Module, shifts: list[Tensor]) -> Iterator[None]:
    """Inside the context, the embeddings of prompts are moved by ``shifts``, one for each call of the encoder.

    Args:
        encoder: gives the prompts' tokens, ``(..., n, tokens, C)``, alone or first of several.
        shifts: in the order of the calls, in units of the tokens' root mean square; a call that has none yet gets
            zeros, which are added to the list.
    """
    calls = 0

    def move(_: nn.Module, __: Any, output: Any) -> Any:
        nonlocal calls
        tokens: Tensor = output[0] if isinstance(output, tuple) else output
        if calls == len(shifts):
            shifts.append(torch.zeros_like(tokens))
        moved = tokens + shifts[calls] * tokens.square().mean().sqrt()
        calls += 1
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    hook = encoder.register_forward_hook(move)
    try:
        yield
    finally:
        hook.remove()
