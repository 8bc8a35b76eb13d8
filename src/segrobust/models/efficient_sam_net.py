"""EfficientSAM's network (Xiong et al. 2023, arXiv 2312.00863): a plain ViT, and SAM's prompts and decoder, simplified.

The modules are named as in the authors' files of weights, which they load without changes. Where it is not SAM:

- The encoder attends globally in every block; its positions are learned at 224 px and enlarged to the input.
- A prompt has six points; those that are not used carry a token of their own. A box is two points.
- No token stands for "no mask as prompt"; for the decoder see ``efficient_sam_decoder``.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segrobust.models.efficient_sam_decoder import MaskDecoder
from segrobust.models.sam_parts import SamLayerNorm

PATCH = 16
"""Side of an embedding token, in pixels of the input."""
POINTS = 6
"""Of a prompt, with those that are not used."""
UNUSED, POINT, TOP_LEFT, BOTTOM_RIGHT = -1, 1, 2, 3
"""Labels of points."""
_LEARNED = 224 // PATCH
"""Side of the grid of learned positions."""


@dataclass(frozen=True)
class EfficientSamConfig:
    """Sizes of an EfficientSAM; the defaults are those of EfficientSAM-Ti.

    Attributes:
        width: of the encoder's tokens: 192 (Ti) or 384 (S).
        heads: of its attention: 3 (Ti) or 6 (S).
        depth: its blocks.
        side: of the square input, in pixels; a multiple of 16.
        channels: of the embedding and of the decoder's tokens; a multiple of 64.
    """

    width: int = 192
    heads: int = 3
    depth: int = 12
    side: int = 1024
    channels: int = 256


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), _Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _PatchEmbed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class ImageEncoder(nn.Module):
    """A plain ViT and SAM's neck: ``(B, 3, S, S)`` to ``(B, channels, S / 16, S / 16)``."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        width, channels = config.width, config.channels
        self.patch_embed = _PatchEmbed(width)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _LEARNED**2, width))
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.depth))
        self.neck = nn.Sequential(
            nn.Conv2d(width, channels, 1, bias=False),
            SamLayerNorm(channels, data_format="channels_first"),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            SamLayerNorm(channels, data_format="channels_first"),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        patches = self.patch_embed(x)
        grid = patches.shape[-2:]
        tokens = (patches + self._positions(grid)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.neck(tokens.transpose(1, 2).unflatten(2, grid))
        return out

    def _positions(self, grid: torch.Size) -> Tensor:
        """The learned positions without the class token's, enlarged, ``(1, width, h, w)``."""
        learned = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (_LEARNED, _LEARNED))
        return F.interpolate(learned, grid, mode="bicubic", align_corners=False)


class _Positions(nn.Module):
    """Random Fourier features of places in the unit square, as in SAM."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """``(..., 2)`` in [0, 1] to ``(..., channels)``."""
        to_x, to_y = self.positional_encoding_gaussian_matrix
        x, y = (2 * xy - 1).split(1, dim=-1)
        # Written out, not as a matrix product: autocast would round a coordinate by some pixels.
        phase = 2 * math.pi * (x * to_x + y * to_y)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Points with labels to tokens."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        self.side, channels = config.side, config.channels
        self.pe_layer = _Positions(channels)
        self.invalid_points = nn.Embedding(1, channels)
        self.point_embeddings = nn.Embedding(1, channels)
        self.bbox_top_left_embeddings = nn.Embedding(1, channels)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, channels)

    def forward(self, points: Tensor, labels: Tensor) -> Tensor:
        """Tokens ``(n, 6, channels)`` of n prompts.

        Args:
            points: ``(n, p, 2)`` xy in pixels of the input, p at most 6.
            labels: ``(n, p)`` integers: 1 a point of the thing, 2 and 3 the corners of a box, -1 unused.
        """
        unused = (0, POINTS - points.shape[1])
        points, labels = F.pad(points, (0, 0, *unused), value=-1.0), F.pad(labels, unused, value=UNUSED)
        tokens: Tensor = self.pe_layer((points + 0.5) / self.side)
        for label, embedding in (
            (UNUSED, self.invalid_points),
            (POINT, self.point_embeddings),
            (TOP_LEFT, self.bbox_top_left_embeddings),
            (BOTTOM_RIGHT, self.bbox_bottom_right_embeddings),
        ):
            tokens = tokens + (labels == label)[..., None] * embedding.weight
        return tokens

    def wide_positions(self) -> Tensor:
        """Where the embedding's tokens are, ``(1, channels, h, w)``."""
        size = self.side // PATCH
        middle = (torch.arange(size, device=self.invalid_points.weight.device) + 0.5) / size
        encoded: Tensor = self.pe_layer(torch.stack(torch.meshgrid(middle, middle, indexing="xy"), dim=-1))
        return encoded.permute(2, 0, 1)[None]


class EfficientSam(nn.Module):
    """The parts of an EfficientSAM, named as in the authors' files."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config.channels)
