"""The parts of transformers that are used here, imported behind a shield.

With a torchvision that does not fit the installed torch, transformers fails for every SAM class with a message that
names neither. Nothing here needs torchvision, so one that cannot be imported is hidden first.
"""

import importlib.util
import logging
import sys

log = logging.getLogger(__name__)


def hide_broken_torchvision() -> None:
    """Make ``import torchvision`` fail cleanly if it would fail anyway."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        log.warning("torchvision does not work with this torch (%s); continuing without it", error)
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        sys.modules["torchvision"] = None  # type: ignore[assignment]


hide_broken_torchvision()

from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig  # noqa: E402
from transformers.models.sam.modeling_sam import (  # noqa: E402
    SamLayerNorm,
    SamMaskDecoder,
    SamPositionalEmbedding,
    SamPromptEncoder,
)
from transformers.utils import logging as transformers_logging  # noqa: E402

transformers_logging.disable_progress_bar()  # progress on stderr is ours
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # and so are the words about a hub that cannot be reached

__all__ = [
    "SamConfig",
    "SamLayerNorm",
    "SamMaskDecoder",
    "SamMaskDecoderConfig",
    "SamModel",
    "SamPositionalEmbedding",
    "SamPromptEncoder",
    "SamPromptEncoderConfig",
    "SamVisionConfig",
]
