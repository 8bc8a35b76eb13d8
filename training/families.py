"""The embedded models that are trained alike: how each is built, embeds, decodes all its masks, and is written.

``nano`` (convolutions and attention), ``nano-vit`` (transformers' ``SamModel``) and ``nano-hiera`` (transformers'
``Sam2Model``) share the recipe of ``train.py``. Only what differs between them is here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from batches import Batch
from losses import mask_losses
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
    SamModel,
    SamVisionConfig,
)

from segrobust.models.nano import NanoConfig, NanoSam

SIDE, CHANNELS = 256, 192
SHARED_ENCODING = "shared_image_embedding.positional_embedding"
PROMPT_ENCODING = "prompt_encoder.shared_embedding.positional_embedding"


@dataclass(frozen=True)
class Embedded:
    """An encoder's output: the embedding ``(B, C, h, w)``, and finer features where the decoder takes them."""

    features: Tensor
    fine: tuple[Tensor, ...] = ()


class SamFamily:
    """``nano`` and ``nano-vit``: SAM's prompt encoder and mask decoder behind an encoder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self) -> nn.Module:
        """The model, untrained."""
        if self.name == "nano":
            model = NanoSam(NanoConfig())
            model.vision_encoder.to(memory_format=torch.channels_last)
            return model
        config = NanoConfig(image_size=SIDE, embedding_channels=CHANNELS).sam_config()
        config.vision_config = SamVisionConfig(
            image_size=SIDE, patch_size=16, hidden_size=256, num_hidden_layers=6, num_attention_heads=8, mlp_dim=1024,
            global_attn_indexes=list(range(6)), output_channels=CHANNELS, num_pos_feats=CHANNELS // 2, scale=1,
        )  # fmt: skip
        model = SamModel(config)
        nn.init.trunc_normal_(model.vision_encoder.pos_embed, std=0.02)
        return model

    def embed(self, model: nn.Module, pixels: Tensor) -> Embedded:
        """Normalised, padded pixels ``(B, 3, S, S)`` through the encoder."""
        out = model.vision_encoder(pixels.contiguous(memory_format=torch.channels_last))
        return Embedded(out if isinstance(out, Tensor) else out[0])

    def mask_loss(self, model: nn.Module, image: Embedded, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses of the answers to the batch's prompts, and what to log."""
        logits, iou = self.decode(model, image, batch)
        multi, single, quality, best = mask_losses(logits.float(), iou.float(), batch.targets)
        return multi + 0.5 * single + quality, {"multi": multi, "single": single, "quality": quality, "best": best}

    def affine(self, features: Tensor) -> Tensor:
        """The embedding at the tokens' resolution (stride 16), for the affinity loss."""
        return features

    def decode(self, model: nn.Module, image: Embedded, batch: Batch) -> tuple[Tensor, Tensor]:
        """All four masks (single-mask token first) and predicted IoUs of every prompt.

        transformers' decoder computes the four and returns either the first or the other three; training needs all.

        Returns:
            Low-resolution logits ``(B, P, 4, h, w)`` and predicted IoUs ``(B, P, 4)``.
        """
        points, dense = model.prompt_encoder(batch.points, batch.labels, None, None)
        sparse = [points]
        if batch.boxes is not None:
            sparse.append(model.prompt_encoder(None, None, batch.boxes, None)[0])
        return self._all_masks(model, image, torch.cat(sparse, dim=1), dense)

    def _all_masks(self, model: nn.Module, image: Embedded, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        decoder = model.mask_decoder
        batch, channels, height, width = image.features.shape
        prompts = sparse.shape[1]
        first = self._first_tokens(decoder)
        tokens = torch.cat([*first, decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([tokens.expand(batch, prompts, -1, -1), sparse], dim=2)
        position = wide_position(model, height).expand(batch, -1, -1, -1)
        out, mixed = decoder.transformer(
            point_embeddings=tokens,
            image_embeddings=(image.features + dense).repeat_interleave(prompts, 0),
            image_positional_embeddings=position.repeat_interleave(prompts, 0),
            attention_similarity=None,
        )
        out = out[:, :, len(first) :]
        mixed = mixed.transpose(2, 3).reshape(batch * prompts, channels, height, width)
        fine = [f.repeat_interleave(prompts, 0) for f in image.fine]
        mixed = self._enlarge(decoder, mixed, fine)
        hyper = torch.stack([mlp(out[:, :, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=2)
        masks = hyper @ mixed.reshape(batch, prompts, mixed.shape[1], -1)
        iou = decoder.iou_prediction_head(out[:, :, 0])
        return masks.reshape(batch, prompts, -1, 4 * height, 4 * width), iou

    def _first_tokens(self, decoder: nn.Module) -> list[Tensor]:
        """Tokens that come before the IoU token."""
        return []

    def _enlarge(self, decoder: nn.Module, mixed: Tensor, fine: list[Tensor]) -> Tensor:
        mixed = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(mixed)))
        return decoder.activation(decoder.upscale_conv2(mixed))

    def export(self, model: nn.Module, folder: Path) -> None:
        """Write the weights (float16 safetensors) and the configuration."""
        write_model(model, folder, self._config(model))

    def _config(self, model: nn.Module) -> dict[str, Any]:
        if self.name == "nano":
            return {"format": "segrobust-nano/1", "architecture": model.nano_config.to_dict()}
        return json.loads(model.config.to_json_string(use_diff=True))


class Sam2Family(SamFamily):
    """``nano-hiera``: transformers' ``Sam2Model``; its decoder also takes features at strides 4 and 8."""

    def build(self) -> nn.Module:
        """The model, untrained."""
        backbone = Sam2HieraDetConfig(
            hidden_size=48, image_size=[SIDE, SIDE], blocks_per_stage=[1, 2, 6, 1],
            embed_dim_per_stage=[48, 96, 192, 384], num_attention_heads_per_stage=[1, 2, 4, 8],
            window_size_per_stage=[8, 8, 16, 8], global_attention_blocks=[],
        )  # fmt: skip
        vision = Sam2VisionConfig(
            backbone_config=backbone, backbone_channel_list=[384, 192, 96, 48],
            backbone_feature_sizes=[[64, 64], [32, 32], [16, 16]], fpn_hidden_size=CHANNELS,
        )  # fmt: skip
        model = Sam2Model(
            Sam2Config(
                vision_config=vision,
                prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=CHANNELS, image_size=SIDE, scale=1),
                mask_decoder_config=Sam2MaskDecoderConfig(
                    hidden_size=CHANNELS, mlp_dim=512, iou_head_hidden_dim=CHANNELS,
                    dynamic_multimask_via_stability=False,
                ),
            )
        )  # fmt: skip
        # SAM 2 has one encoding for prompts and image; transformers keeps a copy for each, drawn apart.
        model.shared_image_embedding.positional_embedding.copy_(
            model.prompt_encoder.shared_embedding.positional_embedding
        )
        for finer in (
            model.mask_decoder.conv_s0,
            model.mask_decoder.conv_s1,
        ):  # a decoder that never saw them starts well
            nn.init.zeros_(finer.weight)
            nn.init.zeros_(finer.bias)
        nn.init.zeros_(model.mask_decoder.obj_score_token.weight)
        for embedding in (model.vision_encoder.backbone.pos_embed, model.vision_encoder.backbone.pos_embed_window):
            nn.init.trunc_normal_(embedding, std=0.02)
        return model

    def embed(self, model: nn.Module, pixels: Tensor) -> Embedded:
        """As the model does it: two finer levels through the decoder's convolutions, the coarse one plus a constant."""
        fine4, fine8, coarse = model.vision_encoder(pixels).fpn_hidden_states
        coarse = coarse + model.no_memory_embedding.reshape(1, -1, 1, 1)
        return Embedded(coarse, (model.mask_decoder.conv_s0(fine4), model.mask_decoder.conv_s1(fine8)))

    def decode(self, model: nn.Module, image: Embedded, batch: Batch) -> tuple[Tensor, Tensor]:
        """As for SAM; but here a box has three tokens and a point two, so they are decoded apart."""
        points, dense = model.prompt_encoder(batch.points, batch.labels, None, None)
        logits, iou = self._all_masks(model, image, points, dense)
        if batch.boxes is None:
            return logits, iou
        boxes = model.prompt_encoder(None, None, batch.boxes, None)[0]
        more_logits, more_iou = self._all_masks(model, image, boxes, dense)
        return torch.cat([logits, more_logits], dim=1), torch.cat([iou, more_iou], dim=1)

    def _first_tokens(self, decoder: nn.Module) -> list[Tensor]:
        return [decoder.obj_score_token.weight]

    def _enlarge(self, decoder: nn.Module, mixed: Tensor, fine: list[Tensor]) -> Tensor:
        mixed = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(mixed) + fine[1]))
        return decoder.activation(decoder.upscale_conv2(mixed) + fine[0])


def write_model(model: nn.Module, folder: Path, config: dict[str, Any]) -> None:
    """Write ``model.safetensors`` (float16) and, if it is not there yet, ``config.json``."""
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items() if "num_batches" not in k}
    if SHARED_ENCODING in tensors and torch.equal(tensors[SHARED_ENCODING], tensors[PROMPT_ENCODING]):
        del tensors[SHARED_ENCODING]
    save_file(tensors, folder / "model.safetensors.part", metadata={"format": "pt"})
    (folder / "model.safetensors.part").replace(folder / "model.safetensors")
    if not (folder / "config.json").exists():  # the thresholds are chosen by hand and stay
        (folder / "config.json").write_text(json.dumps(config | {"everything": {}}, indent=1) + "\n")


FAMILIES = {"nano": SamFamily("nano"), "nano-vit": SamFamily("nano-vit"), "nano-hiera": Sam2Family("nano-hiera")}


def wide_position(model: nn.Module, side: int) -> Tensor:
    """The positional encoding of every embedding token, ``(1, C, side, side)``."""
    centres = (torch.arange(side) + 0.5) / side
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    encoded: Tensor = model.shared_image_embedding(grid)
    return encoded.permute(2, 0, 1)[None]


def sam2_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a SAM's prompt encoder and decoder under the names of transformers' ``Sam2Model``."""
    renamed = {}
    for name, value in weights.items():
        for before, after in (
            (".out_proj.", ".o_proj."),
            (".mlp.lin1.", ".mlp.proj_in."),
            (".mlp.lin2.", ".mlp.proj_out."),
        ):
            name = name.replace(before, after)
        renamed[name] = value
    points = [renamed.pop(f"prompt_encoder.point_embed.{i}.weight", None) for i in range(4)]
    if all(point is not None for point in points):
        renamed["prompt_encoder.point_embed.weight"] = torch.cat(points)
    if PROMPT_ENCODING in renamed:
        renamed.setdefault(SHARED_ENCODING, renamed[PROMPT_ENCODING])
    return renamed


def adopt(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Copy those weights whose name and shape the model has; the names that were copied.

    SAM 2's decoder has SAM's parts (and a few more) under names of its own, so it can start from a trained nano's.
    """
    own = model.state_dict()
    weights = sam2_names(weights) if isinstance(model, Sam2Model) else weights
    taken = {k: v.float() for k, v in weights.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(taken, strict=False)
    return sorted(taken)
