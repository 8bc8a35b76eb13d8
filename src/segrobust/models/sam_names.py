"""The official segment-anything (and SAM-HQ) names of weights, and the shapes that say how large the model is.

Source: the state dicts of ``segment_anything`` 1.0 and of ``segment_anything_hq`` 0.3 beside those of transformers'
``SamModel`` and ``SamHQModel``.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segrobust.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    State = Mapping[str, Tensor]

POSITIONS = "shared_image_embedding.positional_embedding"
"""transformers has it twice, under this name and the prompt encoder's; the official file once."""

_RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"^vision_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^vision_encoder\.blocks\.(\d+)\.norm([12])\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^vision_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^vision_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^vision_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^vision_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", POSITIONS),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"^prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^mask_decoder\.transformer\.layers\.(\d+)\.norm(\d)\.", r"mask_decoder.transformer.layers.\1.layer_norm\2."),
    (r"^mask_decoder\.transformer\.norm_final_attn\.", "mask_decoder.transformer.layer_norm_final_attn."),
    (r"^mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^mask_decoder\.hf_token\.", "mask_decoder.hq_token."),
    (r"^mask_decoder\.hf_mlp\.", "mask_decoder.hq_mask_mlp."),
    (r"^mask_decoder\.compress_vit_feat\.0\.", "mask_decoder.compress_vit_conv1."),
    (r"^mask_decoder\.compress_vit_feat\.1\.", "mask_decoder.compress_vit_norm."),
    (r"^mask_decoder\.compress_vit_feat\.3\.", "mask_decoder.compress_vit_conv2."),
    (r"^mask_decoder\.embedding_encoder\.0\.", "mask_decoder.encoder_conv1."),
    (r"^mask_decoder\.embedding_encoder\.1\.", "mask_decoder.encoder_norm."),
    (r"^mask_decoder\.embedding_encoder\.3\.", "mask_decoder.encoder_conv2."),
    (r"^mask_decoder\.embedding_maskfeature\.0\.", "mask_decoder.mask_conv1."),
    (r"^mask_decoder\.embedding_maskfeature\.1\.", "mask_decoder.mask_norm."),
    (r"^mask_decoder\.embedding_maskfeature\.3\.", "mask_decoder.mask_conv2."),
)
_PERCEPTRON = re.compile(
    r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head|hq_mask_mlp)\.)layers\.(\d+)\.(\w+)$"
)
DECODER_HEAD = 32
"""Channels of a head in the mask decoder: SAM's 256 are 8 heads. The shapes of its weights do not tell."""


def to_transformers(state: "State") -> "dict[str, Tensor]":
    """The same tensors under the names that transformers' ``SamModel`` (or ``SamHQModel``) has for them.

    Args:
        state: an official state dict; names that have no other in transformers stay as they are, and so does a state
            dict that has transformers' names already.
    """
    if "vision_encoder.pos_embed" in state:
        return dict(state)
    renamed = {_rename(key): value for key, value in state.items()}
    depths: dict[str, int] = {}
    for key in renamed:
        if found := _PERCEPTRON.match(key):
            depths[found[1]] = max(depths.get(found[1], 0), int(found[2]) + 1)
    result = {}
    for key, value in renamed.items():
        if found := _PERCEPTRON.match(key):
            prefix, layer = found[1], int(found[2])
            inner = f"layers.{layer - 1}"
            place = "proj_in" if layer == 0 else "proj_out" if layer == depths[prefix] - 1 else inner
            key = f"{prefix}{place}.{found[3]}"
        result[key] = value
    return result


def _rename(key: str) -> str:
    for pattern, name in _RENAMED:
        key = re.sub(pattern, name, key)
    return key


def sam_config(state: "State") -> dict[str, Any]:
    """The ``config.json`` of a SAM or SAM-HQ, read from the shapes of its weights.

    Any width, depth, photo size and window. The decoder's heads have 32 channels each, as SAM's do.

    Args:
        state: under transformers' names (see :func:`to_transformers`).

    Raises:
        ModelError: weights are missing that every SAM has, or relative positions fit neither windows nor the whole.
    """
    try:
        vision, prompts, decoder = _vision(state), _prompts(state), _decoder(state)
    except KeyError as error:
        raise ModelError(f"the weights lack {error.args[0]!r}, which every SAM has") from None
    kind = "sam_hq" if "mask_decoder.hq_token.weight" in state else "sam"
    if kind == "sam_hq":
        decoder["vit_dim"] = vision["hidden_size"]
    for part, name in ((vision, "vision_model"), (prompts, "prompt_encoder"), (decoder, "mask_decoder")):
        part["model_type"] = f"{kind}_{name}"
    return {
        "architectures": ["SamHQModel" if kind == "sam_hq" else "SamModel"],
        "model_type": kind,
        "dtype": "float32",
        "vision_config": vision,
        "prompt_encoder_config": prompts,
        "mask_decoder_config": decoder,
    }


def _vision(state: "State") -> dict[str, Any]:
    _, grid, _, width = state["vision_encoder.pos_embed"].shape
    projection = state["vision_encoder.patch_embed.projection.weight"]
    depth = _count(state, "vision_encoder.layers")
    reach = [(len(state[f"vision_encoder.layers.{i}.attn.rel_pos_h"]) + 1) // 2 for i in range(depth)]
    window = min(reach)
    if set(reach) - {window, grid}:
        raise ModelError(f"relative positions reach {sorted(set(reach))} patches; the photo has {grid}")
    mlp = len(state["vision_encoder.layers.0.mlp.lin1.weight"])
    return {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // state["vision_encoder.layers.0.attn.rel_pos_h"].shape[1],
        "num_channels": projection.shape[1],
        "patch_size": projection.shape[-1],
        "image_size": grid * projection.shape[-1],
        "output_channels": len(state["vision_encoder.neck.conv1.weight"]),
        "window_size": window,
        "global_attn_indexes": [i for i, far in enumerate(reach) if far == grid],
        "num_pos_feats": state[POSITIONS].shape[1],
        "mlp_dim": mlp,
        "mlp_ratio": mlp / width,
        "qkv_bias": "vision_encoder.layers.0.attn.qkv.bias" in state,
    }


def _prompts(state: "State") -> dict[str, Any]:
    grid, patch = state["vision_encoder.pos_embed"].shape[1], state["vision_encoder.patch_embed.projection.weight"]
    return {
        "hidden_size": state["prompt_encoder.no_mask_embed.weight"].shape[1],
        "image_size": grid * patch.shape[-1],
        "image_embedding_size": grid,
        "patch_size": patch.shape[-1],
        "mask_input_channels": len(state["prompt_encoder.mask_embed.conv2.weight"]),
        "num_point_embeddings": _count(state, "prompt_encoder.point_embed"),
    }


def _decoder(state: "State") -> dict[str, Any]:
    width = state["mask_decoder.iou_token.weight"].shape[1]
    crossing = state["mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"]
    return {
        "hidden_size": width,
        "num_attention_heads": max(1, width // DECODER_HEAD),
        "attention_downsample_rate": width // len(crossing),
        "num_hidden_layers": _count(state, "mask_decoder.transformer.layers"),
        "mlp_dim": len(state["mask_decoder.transformer.layers.0.mlp.lin1.weight"]),
        "num_multimask_outputs": len(state["mask_decoder.mask_tokens.weight"]) - 1,
        "iou_head_hidden_dim": len(state["mask_decoder.iou_prediction_head.proj_in.weight"]),
        "iou_head_depth": _count(state, "mask_decoder.iou_prediction_head.layers") + 2,
    }


def _count(state: "State", prefix: str) -> int:
    """How many numbered parts there are under a name."""
    numbers = {found[1] for key in state if (found := re.match(rf"{re.escape(prefix)}\.(\d+)\.", key))}
    return len(numbers)
