"""transformers' names of a SAM's weights into the authors', written apart from the package's way back."""

import json
import re
from pathlib import Path

import torch
from torch import Tensor

PLACES = {
    "shared_image_embedding.positional_embedding": "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    "vision_encoder.patch_embed.projection.": "image_encoder.patch_embed.proj.",
    "vision_encoder.neck.conv1.": "image_encoder.neck.0.",
    "vision_encoder.neck.layer_norm1.": "image_encoder.neck.1.",
    "vision_encoder.neck.conv2.": "image_encoder.neck.2.",
    "vision_encoder.neck.layer_norm2.": "image_encoder.neck.3.",
    "vision_encoder.layers.": "image_encoder.blocks.",
    "vision_encoder.": "image_encoder.",
    "prompt_encoder.point_embed.": "prompt_encoder.point_embeddings.",
    "prompt_encoder.mask_embed.conv1.": "prompt_encoder.mask_downscaling.0.",
    "prompt_encoder.mask_embed.layer_norm1.": "prompt_encoder.mask_downscaling.1.",
    "prompt_encoder.mask_embed.conv2.": "prompt_encoder.mask_downscaling.3.",
    "prompt_encoder.mask_embed.layer_norm2.": "prompt_encoder.mask_downscaling.4.",
    "prompt_encoder.mask_embed.conv3.": "prompt_encoder.mask_downscaling.6.",
    "mask_decoder.upscale_conv1.": "mask_decoder.output_upscaling.0.",
    "mask_decoder.upscale_layer_norm.": "mask_decoder.output_upscaling.1.",
    "mask_decoder.upscale_conv2.": "mask_decoder.output_upscaling.3.",
    "mask_decoder.hq_token.": "mask_decoder.hf_token.",
    "mask_decoder.hq_mask_mlp.": "mask_decoder.hf_mlp.",
    "mask_decoder.compress_vit_conv1.": "mask_decoder.compress_vit_feat.0.",
    "mask_decoder.compress_vit_norm.": "mask_decoder.compress_vit_feat.1.",
    "mask_decoder.compress_vit_conv2.": "mask_decoder.compress_vit_feat.3.",
    "mask_decoder.encoder_conv1.": "mask_decoder.embedding_encoder.0.",
    "mask_decoder.encoder_norm.": "mask_decoder.embedding_encoder.1.",
    "mask_decoder.encoder_conv2.": "mask_decoder.embedding_encoder.3.",
    "mask_decoder.mask_conv1.": "mask_decoder.embedding_maskfeature.0.",
    "mask_decoder.mask_norm.": "mask_decoder.embedding_maskfeature.1.",
    "mask_decoder.mask_conv2.": "mask_decoder.embedding_maskfeature.3.",
}
LAYERS = {"proj_in.": "layers.0.", "layers.0.": "layers.1.", "proj_out.": "layers.2."}
"""Of the perceptrons in the mask decoder, which have three."""


def to_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names of segment-anything (or SAM-HQ)."""
    return {_rename(key): value for key, value in state.items() if "shared_embedding" not in key}


def _rename(key: str) -> str:
    for theirs, official in PLACES.items():
        if key.startswith(theirs):
            key = official + key.removeprefix(theirs)
            break
    key = re.sub(r"(?<=\.\d\.)layer_norm(?=\d\.)", "norm", key).replace("layer_norm_final_attn", "norm_final_attn")
    head = re.match(r"mask_decoder\.(output_hypernetworks_mlps\.\d|iou_prediction_head|hf_mlp)\.", key)
    if head:
        place = key.removeprefix(head[0])
        layer = next(name for name in LAYERS if place.startswith(name))
        key = head[0] + LAYERS[layer] + place.removeprefix(layer)
    return key


def official_shapes(golden: Path, name: str) -> dict[str, Tensor]:
    """Every weight of the authors' model, without its numbers."""
    shapes = json.loads((golden / "sam_keys.json").read_text())[name]
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
