"""Small models of transformers' families, with random weights that leave nothing at zero, as folders on disk."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import (
    CLIPTextConfig,
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2PromptEncoderConfig,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VisionConfig,
    Sam3Config,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    Sam3TrackerVideoConfig,
    Sam3VideoConfig,
    Sam3VideoModel,
    Sam3ViTConfig,
    SamConfig,
    SamHQConfig,
    SamHQMaskDecoderConfig,
    SamHQModel,
    SamHQPromptEncoderConfig,
    SamHQVisionConfig,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from transformers.models.sam3.configuration_sam3 import Sam3VisionConfig

HEAD: dict[str, Any] = {"hidden_size": 32, "mlp_dim": 48, "num_attention_heads": 2, "iou_head_hidden_dim": 32}


def sam() -> nn.Module:
    vision = SamVisionConfig(
        image_size=128, hidden_size=32, output_channels=32, num_hidden_layers=2, num_attention_heads=2, window_size=3,
        global_attn_indexes=[1], num_pos_feats=16,
    )  # fmt: skip
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=128)
    decoder = SamMaskDecoderConfig(**HEAD)
    return SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))


def sam_hq() -> nn.Module:
    vision = SamHQVisionConfig(
        image_size=128, hidden_size=32, output_channels=32, num_hidden_layers=3, num_attention_heads=2, window_size=3,
        global_attn_indexes=[1, 2], num_pos_feats=16,
    )  # fmt: skip
    prompts = SamHQPromptEncoderConfig(hidden_size=32, image_size=128)
    decoder = SamHQMaskDecoderConfig(vit_dim=32, **HEAD)
    config = SamHQConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    return SamHQModel(config)


def _sam2_parts() -> dict[str, Any]:
    hiera = Sam2HieraDetConfig(
        image_size=[128, 128], hidden_size=16, blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 2, 4], window_size_per_stage=[4, 4, 4, 2], global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=hiera, backbone_channel_list=[128, 64, 32, 16], fpn_hidden_size=32,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    prompts: dict[str, Any] = {"hidden_size": 32, "image_size": 128}
    return {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": dict(HEAD)}


def sam2() -> nn.Module:
    parts = _sam2_parts()
    parts["prompt_encoder_config"] = Sam2PromptEncoderConfig(**parts["prompt_encoder_config"])
    parts["mask_decoder_config"] = Sam2MaskDecoderConfig(**parts["mask_decoder_config"])
    return Sam2Model(Sam2Config(**parts))


def sam2_video() -> nn.Module:
    """As published: the photo's model lies inside one for videos."""
    memory = {
        "memory_attention_hidden_size": 32, "memory_attention_num_layers": 1, "memory_encoder_hidden_size": 32,
        "memory_attention_feed_forward_hidden_size": 32, "mask_downsampler_embed_dim": 32,
        "memory_fuser_embed_dim": 32, "memory_fuser_intermediate_dim": 32, "memory_encoder_output_channels": 16,
        "memory_attention_rope_feat_sizes": [8, 8],
    }  # fmt: skip
    return Sam2VideoModel(Sam2VideoConfig(image_size=128, **_sam2_parts(), **memory))


def _sam3_vision(image_size: int = 112) -> Sam3VisionConfig:
    vit = Sam3ViTConfig(
        image_size=image_size, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
        window_size=4, global_attn_indexes=[1], pretrain_image_size=56,
    )  # fmt: skip
    side = image_size // 14
    sizes = [[4 * side, 4 * side], [2 * side, 2 * side], [side, side]]
    return Sam3VisionConfig(backbone_config=vit, fpn_hidden_size=32, backbone_feature_sizes=sizes)


def _sam3_tracker(**memory: Any) -> dict[str, Any]:
    prompts: dict[str, Any] = {"hidden_size": 32, "image_size": 112}
    return {
        "vision_config": _sam3_vision(),
        "prompt_encoder_config": prompts,
        "mask_decoder_config": dict(HEAD),
        **memory,
    }


def sam3() -> nn.Module:
    return Sam3TrackerModel(Sam3TrackerConfig(**_sam3_tracker()))


def sam3_video() -> nn.Module:
    """As published: detector and tracker in one, the ViT shared."""
    memory = {
        "image_size": 112, "memory_attention_hidden_size": 32, "memory_attention_num_layers": 1,
        "memory_encoder_hidden_size": 32, "memory_attention_feed_forward_hidden_size": 32,
        "mask_downsampler_embed_dim": 32, "memory_fuser_embed_dim": 32, "memory_fuser_intermediate_dim": 32,
        "memory_encoder_output_channels": 16, "memory_attention_rope_feat_sizes": [8, 8],
    }  # fmt: skip
    text = CLIPTextConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=16, max_position_embeddings=8, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    small = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    detector = Sam3Config(
        vision_config=_sam3_vision(), text_config=text, geometry_encoder_config=dict(small),
        detr_encoder_config=dict(small), detr_decoder_config=small | {"num_queries": 5},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )  # fmt: skip
    tracker = Sam3TrackerVideoConfig(**_sam3_tracker(**memory))
    return Sam3VideoModel(Sam3VideoConfig(detector_config=detector, tracker_config=tracker))


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of a size that lets every part of the answer depend on every part of the photo."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if "positional_embedding" in name:
                weight.copy_(noise)
            elif weight.ndim == 1 and name.endswith("weight"):
                weight.copy_(1 + 0.1 * noise)
            elif weight.ndim == 1:
                weight.copy_(0.1 * noise)
            else:
                weight.copy_(noise / math.sqrt(weight[0].numel()))
    return model.eval()


def write(model: nn.Module, folder: Path, processor: dict[str, Any] | None = None, *, nested: bool = True) -> Path:
    """A folder as on the hub, with the state dict's own names.

    Args:
        model: of transformers.
        folder: made if it is not there.
        processor: the image processor's settings, if the checkpoint has some.
        nested: in ``processor_config.json``, as transformers 5 writes them, or else in ``preprocessor_config.json``.
    """
    model.config.save_pretrained(folder)
    # Not save_pretrained: of a whole SAM 3, transformers 5.23 writes names that differ from those of the hub.
    weights = {key: value.clone(memory_format=torch.contiguous_format) for key, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if processor is not None:
        name, text = ("processor_config.json", {"image_processor": processor}) if nested else (
            "preprocessor_config.json", processor
        )  # fmt: skip
        (folder / name).write_text(json.dumps(text))
    return folder
