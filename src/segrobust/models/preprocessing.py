"""What a checkpoint's own processor does to a photo, read from its JSON; the processor itself is never run.

transformers' processors work on 8-bit photos and need torchvision, so neither a gradient nor a plain installation gets
through them. Their numbers are all that is taken.
"""

import dataclasses
import math
from typing import Any

from segrobust.errors import ModelError
from segrobust.models.frame import Frame
from segrobust.models.loading import ModelFolder

_BEFORE_5 = "preprocessor_config.json"
_SINCE_5 = "processor_config.json"


def read_frame(folder: ModelFolder, default: Frame) -> Frame:
    """A model's input as its checkpoint describes it.

    Args:
        folder: with ``processor_config.json`` (the image processor under ``image_processor``, as transformers 5 writes
            it), or ``preprocessor_config.json`` (as before), or neither.
        default: the input as the architecture has it; what the checkpoint does not say stays as it is here.

    Returns:
        The default with the checkpoint's mean and std.

    Raises:
        ModelError: the processor's numbers cannot be meant, or contradict the model's size.
    """
    name, said = _SINCE_5, folder.read_json(_SINCE_5, optional=True).get("image_processor")
    if not isinstance(said, dict):
        name, said = _BEFORE_5, folder.read_json(_BEFORE_5, optional=True)
    where = f"{folder.source}/{name}"
    side = _side(said.get("size"), where)
    if side not in (None, default.side):
        raise ModelError(f"{where}: 'size' is {said['size']!r}, but the model of config.json takes {default.side} px")
    factor = said.get("rescale_factor")
    if said.get("do_rescale") is False or (factor is not None and not math.isclose(factor, 1 / 255, rel_tol=1e-6)):
        raise ModelError(f"{where}: pixels must be rescaled by 1/255, got 'rescale_factor' {factor!r}")
    if said.get("do_normalize") is False:
        return dataclasses.replace(default, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    mean = _three(said, "image_mean", where, default.mean)
    std = _three(said, "image_std", where, default.std)
    if min(std) <= 0:
        raise ModelError(f"{where}: 'image_std' must be above 0, got {list(std)}")
    return dataclasses.replace(default, mean=mean, std=std)


def square_side(size: Any, where: str) -> int:
    """The side of a square that is written as one number or two.

    Args:
        size: ``1024``, ``[1024, 1024]``, ``{"height": 1024, "width": 1024}`` or ``{"longest_edge": 1024}``.
        where: the file, for the error.

    Raises:
        ModelError: no square.
    """
    values = list(size.values()) if isinstance(size, dict) else size
    sides = set(values) if isinstance(values, list | tuple) else {values}
    side = sides.pop() if len(sides) == 1 else None
    if not isinstance(side, int) or isinstance(side, bool) or side < 1:
        raise ModelError(f"{where}: the model's input must be a square of whole pixels, got {size!r}")
    return side


def _side(size: Any, where: str) -> int | None:
    if isinstance(size, dict):
        size = {key: value for key, value in size.items() if value is not None}
    return square_side(size, where) if size else None


def _three(said: dict[str, Any], key: str, where: str, default: tuple[float, ...]) -> tuple[float, ...]:
    values = said.get(key)
    if values is None:
        return default
    try:
        three = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        three = ()
    if len(three) != 3 or not all(map(math.isfinite, three)):
        raise ModelError(f"{where}: {key!r} must be three numbers, got {values!r}")
    return three
