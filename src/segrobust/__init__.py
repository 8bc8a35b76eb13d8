"""segrobust: how easily does an image nobody would notice break a Segment Anything model, and what helps?

The public names below are loaded when first used; importing segrobust itself imports neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "load": "segrobust.models",
    "wrap": "segrobust.models.functions",
    "wrap_http": "segrobust.models.http",
    "read_image": "segrobust.io.images",
    "write_png": "segrobust.io.images",
    "segment_everything": "segrobust.regions.everything",
    "attack": "segrobust.attacks.recipes",
    "clean_side": "segrobust.evaluation.evaluate",
    "evaluate": "segrobust.evaluation.evaluate",
    "Budget": "segrobust.types",
    "Image": "segrobust.types",
    "Masks": "segrobust.types",
    "Prompts": "segrobust.types",
    "AttackResult": "segrobust.types",
    "SegrobustError": "segrobust.errors",
}

__all__ = [*_HOME, "__version__"]

if TYPE_CHECKING:
    from segrobust.attacks.recipes import attack as attack
    from segrobust.errors import SegrobustError as SegrobustError
    from segrobust.evaluation.evaluate import clean_side as clean_side
    from segrobust.evaluation.evaluate import evaluate as evaluate
    from segrobust.io.images import read_image as read_image
    from segrobust.io.images import write_png as write_png
    from segrobust.models import load as load
    from segrobust.models.functions import wrap as wrap
    from segrobust.models.http import wrap_http as wrap_http
    from segrobust.regions.everything import segment_everything as segment_everything
    from segrobust.types import AttackResult as AttackResult
    from segrobust.types import Budget as Budget
    from segrobust.types import Image as Image
    from segrobust.types import Masks as Masks
    from segrobust.types import Prompts as Prompts


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'segrobust' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
