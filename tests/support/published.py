"""The published sizes of SAM-HQ, SAM 2, SAM 2.1 and SAM 3, as configurations; built without memory, or with noise."""

from typing import Any

import torch
from torch import nn
from transformers import (
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    SamHQConfig,
    SamHQMaskDecoderConfig,
    SamHQModel,
    SamHQPromptEncoderConfig,
    SamHQVisionConfig,
)

SAM_HQ: dict[str, dict[str, Any]] = {
    "base": {},
    "large": {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "global_attn_indexes": [5, 11, 17, 23],
    },
    "huge": {
        "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "global_attn_indexes": [7, 15, 23, 31],
    },
}  # fmt: skip
"""The sizes of SAM's ViT-B, L and H (Kirillov et al. 2023)."""

HIERA: dict[str, dict[str, Any]] = {
    "tiny": {"blocks_per_stage": [1, 2, 7, 2], "global_attention_blocks": [5, 7, 9]},
    "small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "base-plus": {
        "hidden_size": 112, "num_attention_heads": 2, "blocks_per_stage": [2, 3, 16, 3],
        "embed_dim_per_stage": [112, 224, 448, 896], "num_attention_heads_per_stage": [2, 4, 8, 16],
        "global_attention_blocks": [12, 16, 20], "window_positional_embedding_background_size": [14, 14],
    },
    "large": {
        "hidden_size": 144, "num_attention_heads": 2, "blocks_per_stage": [2, 6, 36, 4],
        "embed_dim_per_stage": [144, 288, 576, 1152], "num_attention_heads_per_stage": [2, 4, 8, 16],
        "window_size_per_stage": [8, 4, 16, 8], "global_attention_blocks": [23, 33, 43],
    },
}  # fmt: skip
"""The sizes of SAM 2's and 2.1's encoder; what is not said is as in "tiny" (Ravi et al. 2024)."""

NAMES = (
    *(f"syscv-community/sam-hq-vit-{size}" for size in SAM_HQ),
    *(f"facebook/sam{version}-hiera-{size}" for version in ("2", "2.1") for size in HIERA),
    "facebook/sam3",
)


def build(name: str, device: str = "meta") -> nn.Module:
    """The architecture of a name on the hub, with random weights; on ``meta`` it takes no memory."""
    with torch.device(device):
        if name == "facebook/sam3":
            return Sam3TrackerModel(Sam3TrackerConfig())
        family, _, size = name.rpartition("-vit-")
        if family:
            return SamHQModel(_sam_hq(size))
        return Sam2Model(_sam2(name.partition("-hiera-")[2]))


def _sam_hq(size: str) -> SamHQConfig:
    vision = SamHQVisionConfig(**SAM_HQ[size])
    decoder = SamHQMaskDecoderConfig(vit_dim=vision.hidden_size)
    return SamHQConfig(
        vision_config=vision, prompt_encoder_config=SamHQPromptEncoderConfig(), mask_decoder_config=decoder
    )


def _sam2(size: str) -> Sam2Config:
    hiera = Sam2HieraDetConfig(**HIERA[size])
    vision = Sam2VisionConfig(backbone_config=hiera, backbone_channel_list=hiera.embed_dim_per_stage[::-1])
    return Sam2Config(
        vision_config=vision,
        prompt_encoder_config=Sam2PromptEncoderConfig(),
        mask_decoder_config=Sam2MaskDecoderConfig(),
    )
