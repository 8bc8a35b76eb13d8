"""The architecture of the embedded models: a small convolutional encoder before SAM's prompt encoder and decoder.

The parts carry the names of transformers' ``SamModel`` (``vision_encoder``, ``prompt_encoder``,
``mask_decoder``, ``shared_image_embedding``), so the same ``SamSegmenter`` drives both.

Why not a small ViT: trained from scratch on a few hundred photos, a plain ViT's embedding collapses (every photo
gets the same one), and an attack on an embedding that carries nothing measures nothing. See training/README.md.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segrobust.models.sam_parts import (
    SamConfig,
    SamLayerNorm,
    SamMaskDecoder,
    SamMaskDecoderConfig,
    SamPositionalEmbedding,
    SamPromptEncoder,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

EMBEDDING_STRIDE = 16
"""Image pixels per embedding token, as in SAM; the decoder's masks then have a quarter of the image's resolution."""


@dataclass(frozen=True)
class NanoConfig:
    """Sizes of a nano model; everything its weights depend on.

    Attributes:
        image_size: side of the square input, in pixels; a multiple of 16.
        widths: channels at strides 4, 8 and 16.
        depths: residual blocks at strides 4, 8 and 16.
        attention_layers: transformer layers at stride 16.
        embedding_channels: channels of the embedding, which is also the decoder's width.
        decoder_mlp: hidden width of the decoder's MLPs.
    """

    image_size: int = 256
    widths: tuple[int, int, int] = (48, 96, 192)
    depths: tuple[int, int, int] = (2, 3, 3)
    attention_layers: int = 3
    embedding_channels: int = 192
    decoder_mlp: int = 512

    def sam_config(self) -> SamConfig:
        """The configuration of the parts that are transformers' own."""
        channels = self.embedding_channels
        # scale: SamVisionConfig's default (hidden_size // 2) makes Fourier features too random to learn from.
        positions: dict[str, Any] = {"num_pos_feats": channels // 2, "scale": 1}
        return SamConfig(
            vision_config=SamVisionConfig(image_size=self.image_size, **positions),
            prompt_encoder_config=SamPromptEncoderConfig(
                hidden_size=channels, image_size=self.image_size, patch_size=EMBEDDING_STRIDE
            ),
            mask_decoder_config=SamMaskDecoderConfig(
                hidden_size=channels,
                mlp_dim=self.decoder_mlp,
                iou_head_hidden_dim=channels,
            ),
        )

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready copy."""
        return dataclasses.asdict(self)


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection; the first may halve the resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, stride)
        self.second = _conv(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.skip: nn.Module = nn.Identity() if same else _conv(inputs, outputs, stride, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.second(F.relu(self.first(x))))


class _Attention(nn.Module):
    """A pre-norm transformer layer over all tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.out(mixed)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class NanoEncoder(nn.Module):
    """Convolutions to stride 16, attention there, and finer features brought to it once more before the neck.

    The neck (1x1 convolution, layer norm, 3x3 convolution, layer norm) is SAM's, so the embedding
    has SAM's statistics: every token has zero mean and unit variance up to a learned scale.
    """

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        channels = config.embedding_channels
        self.stem = nn.Sequential(_conv(3, fine // 2, stride=2), nn.ReLU(), _conv(fine // 2, fine, stride=2), nn.ReLU())
        self.stage4 = self._stage(fine, fine, config.depths[0], stride=1)
        self.stage8 = self._stage(fine, middle, config.depths[1], stride=2)
        self.stage16 = self._stage(middle, coarse, config.depths[2], stride=2)
        side = config.image_size // 16
        self.position = nn.Parameter(torch.empty(1, side * side, coarse))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.attention = nn.Sequential(*(_Attention(coarse, coarse // 32) for _ in range(config.attention_layers)))
        self.from8 = _conv(middle, channels, stride=2)
        self.from16 = _conv(coarse, channels, kernel=1)
        self.fuse = _Residual(channels, channels)
        self.neck = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            SamLayerNorm(channels, data_format="channels_first"),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            SamLayerNorm(channels, data_format="channels_first"),
        )

    @staticmethod
    def _stage(inputs: int, outputs: int, depth: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            _Residual(inputs, outputs, stride), *(_Residual(outputs, outputs) for _ in range(depth - 1))
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed normalised, padded pixels.

        Args:
            pixels: ``(B, 3, S, S)`` with S the model's image size.

        Returns:
            ``(B, C, S / 16, S / 16)``.
        """
        x8 = self.stage8(self.stage4(self.stem(pixels)))
        x16 = self.stage16(x8)
        batch, width, height, breadth = x16.shape
        tokens = x16.flatten(2).transpose(1, 2) + self.position
        x16 = self.attention(tokens).transpose(1, 2).reshape(batch, width, height, breadth)
        fused: Tensor = self.neck(self.fuse(F.relu(self.from16(x16) + self.from8(x8))))
        return fused


class NanoSam(nn.Module):
    """SAM's anatomy with a ``NanoEncoder``; attribute names follow transformers' ``SamModel``."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.nano_config = config
        self.config = config.sam_config()
        self.vision_encoder = NanoEncoder(config)
        self.prompt_encoder = SamPromptEncoder(self.config)
        self.shared_image_embedding: SamPositionalEmbedding = self.prompt_encoder.shared_embedding
        decoder = cast(SamMaskDecoderConfig, self.config.mask_decoder_config)
        decoder._attn_implementation = "eager"  # SamModel sets it for its decoder too
        self.mask_decoder = SamMaskDecoder(decoder)
