"""Prompts go through a decoder a batch at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from segrobust.models.base import prompt_arrays
from segrobust.models.values import Embedding
from segrobust.types import Prompts

DECODER_BATCH = {"cpu": 16, "cuda": 64, "mps": 32}
"""Prompts decoded at a time: each holds several copies of the embedding while it is decoded (SAM: 4 MB a copy)."""

Decode = Callable[[Tensor | None, Tensor | None], tuple[Tensor, ...]]


def decode_in_batches(decode: Decode, prompts: Prompts, embedding: Embedding) -> tuple[Tensor, ...] | None:
    """Answers to points, then to boxes.

    Args:
        decode: answers a batch of points ``(n, 2)`` or of boxes ``(n, 4)`` in pixels of the model's input; the other
            is None.
        prompts: in pixels of the photo.
        embedding: of the photo, which says where they lie in the model's input, and what decodes them.

    Returns:
        What ``decode`` gives, joined, as float32; None if there is nothing to decode.
    """
    device = embedding.features.device
    size = DECODER_BATCH.get(device.type, 16)
    arrays = prompt_arrays(prompts, embedding.geometry)
    some, others = (torch.from_numpy(kind).to(device, torch.float32).split(size) for kind in arrays)
    answers = [decode(part, None) for part in some if len(part)] + [decode(None, part) for part in others if len(part)]
    if not answers:
        return None
    return tuple(torch.cat(column).float() for column in zip(*answers, strict=True))
