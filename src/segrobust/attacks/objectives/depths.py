"""Which inner layers: the authors number SAM-B's twelve blocks, and the numbers stand for depths in other encoders."""

from collections.abc import Sequence

from segrobust.errors import CapabilityError, UsageError
from segrobust.models.base import WhiteBox

UAD_BLOCKS = (4, 5, 6, 7)
"""The blocks that UAD's authors attack, and their baselines TAP, ILPD, AA and PATA, of the twelve of SAM-B."""

UMI_BLOCKS = (4, 5, 6, 7, 8, 9)
"""The blocks of the gradient-robust loss in UMI-GRAT's code, of the twelve of SAM-B."""


def inner_layers(white: WhiteBox, blocks: Sequence[int], of: int = 12) -> tuple[int, ...]:
    """The inner layers of a model that lie as deep as given blocks of an encoder with ``of`` blocks.

    Block b (the first is 1) lies at the depth b / of. The model's layer whose end is nearest to that depth is taken,
    halves upwards, never before the first; layers that are hit twice count once. With as many layers as ``of`` these
    are the blocks themselves (layer numbers begin with 0, so block 4 is layer 3); with 24 (SAM-L), block 4 becomes the
    8th. What counts as a layer of another encoder: ``segrobust.models.activations.find_layers``; nano has 13 (two of
    its stem, eight residual, three of attention), so blocks 4 .. 7 are its layers 3, 4, 6 and 7.

    Args:
        white: the model.
        blocks: their numbers, 1 .. of; none = no inner layer, which means the final embedding to an objective.
        of: give the model's own depth to name its layers one by one.

    Raises:
        UsageError: a block that is not there.
        CapabilityError: the model shows no inner layers.
    """
    bad = [block for block in blocks if not 1 <= block <= of]
    if bad:
        raise UsageError(f"block {bad[0]} is not one of the {of} blocks 1 to {of}")
    if blocks and not white.depth:
        raise CapabilityError(f"model {white.name!r} shows no inner layers; blocks=() attacks its embedding instead")
    depths = (int(block / of * white.depth + 0.5) for block in blocks)
    return tuple(sorted({max(0, depth - 1) for depth in depths}))
