"""One embedding for many questions about one photo."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from segrobust.models.base import Embedding, Promptable, Segmenter


@contextmanager
def embedded_once(segmenter: Segmenter) -> Iterator[None]:
    """While this lasts, a photo that is asked about several times in a row is embedded once.

    The last embedding is kept, and handed out again for the same pixels; it is the very tensor, so what is decoded from
    it is the same to the last bit. Where a gradient is asked for, every embedding is made anew.

    Args:
        segmenter: whose ``embed`` is replaced for a while. One that does not embed photos is left as it is.
    """
    if not isinstance(segmenter, Promptable):
        yield
        return
    embed = segmenter.embed
    last: list[tuple[Tensor, Embedding]] = []

    def remembering(images: Tensor) -> Embedding:
        if torch.is_grad_enabled():
            return embed(images)
        if not last or not torch.equal(last[0][0], images):
            last.clear()  # before the next one is made: both need not be in memory
            last.append((images, embed(images)))
        return last[0][1]

    vars(segmenter)["embed"] = remembering
    try:
        yield
    finally:
        del vars(segmenter)["embed"]
