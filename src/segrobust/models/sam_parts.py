"""The parts of transformers that are used here, imported behind a shield (see ``shield``)."""

import logging

from segrobust.models.shield import hide_broken_torchvision

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
