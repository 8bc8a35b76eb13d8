"""FastSAM from its file of weights."""

import logging
from functools import cache
from pathlib import Path

from torch import nn

from segrobust.errors import ModelError
from segrobust.models.checkpoint import read_state
from segrobust.models.fast_sam import FastSam, FastSamSettings
from segrobust.models.options import LoadOptions
from segrobust.models.sniff import sha256
from segrobust.models.strict import fill
from segrobust.models.ultralytics_parts import SegmentationModel
from segrobust.models.weights import locate

log = logging.getLogger(__name__)

SIZES = {16: "n", 32: "s", 48: "m", 64: "l", 80: "x"}
"""YOLOv8's sizes by the channels of the first layer."""
FIRST = "model.0.conv.weight"
KEEP_SIZE = "@photo"
"""At the end of a name: the photo keeps its size, as in UAD's evaluation, instead of a long side of 1024."""


def load_fast_sam(name: str, options: LoadOptions) -> FastSam:
    """FastSAM-s or FastSAM-x.

    The file holds the state dict of ultralytics' ``SegmentationModel`` with one class (``model.0.conv.weight`` ...), as
    ``segrobust models convert`` writes it; the official ``FastSAM-*.pt`` are pickles of whole Python objects.

    Args:
        name: ``FastSAM-s``, ``FastSAM-x``, or one of them with ``@photo`` (see ``KEEP_SIZE``).
        options: device, precision, and the file if it is not where it is looked for.

    Raises:
        ModelError: the file is not here, is a pickle, or holds another network.
    """
    _say_licence()
    known = name.removesuffix(KEEP_SIZE)
    file = options.checkpoint or locate(known)
    settings = FastSamSettings(image_size=0 if name.endswith(KEEP_SIZE) else FastSamSettings.image_size)
    return FastSam(_build(file, known), name, options, everything=settings, fingerprint=sha256(file))


@cache
def _say_licence() -> None:
    log.warning(
        "FastSAM runs on ultralytics; package and weights are AGPL-3.0, which asks whoever distributes or serves a "
        "work made with them to give its source under the same licence"
    )


def _build(file: Path, known: str) -> nn.Module:
    """The network of the named size, filled."""
    state = read_state(file)
    if FIRST not in state:
        raise ModelError(f"{file} does not hold {known}: there is no {FIRST!r} in it; is it another model's file?")
    size = SIZES.get(len(state[FIRST]), "?")
    if not known.endswith(size):
        actual = f"FastSAM-{size}" if size in "sx" else f"a YOLOv8{size}"
        raise ModelError(f"{file} does not hold {known} but {actual}; type that name, or give another --checkpoint")
    model: nn.Module = SegmentationModel(f"yolov8{size}-seg.yaml", nc=1, verbose=False)
    fill(model, state, file)
    return model
