"""EfficientSAM's mask decoder: SAM's, with small differences that its weights were trained with.

From the second layer on, the prompts have their own positions added before they look at each other, and keep them; the
first layer adds to the prompts what they read instead of replacing them. All activations are GELU, and the pictures are
normalised over all of their channels and places together.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 8
HIDDEN = 8
"""The transformer's MLP is this many times as wide as its tokens."""
LAYERS = 2
TOKENS = 4
"""Masks that are decoded; the authors use the last three and never the first."""


class _Attention(nn.Module):
    """Attention whose inner width can be smaller than that of its tokens."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(channels, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, channels)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = [
            projection(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for projection, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        ]
        out: Tensor = self.out_proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return out


class _Mlp(nn.Module):
    def __init__(self, *widths: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Linear(before, after), activation()) for before, after in pairwise(widths[:-1]))
        )
        self.fc = nn.Linear(widths[-2], widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.layers(x))
        return out


class _TwoWayLayer(nn.Module):
    """Prompts look at each other and at the image, then the image looks at them."""

    def __init__(self, channels: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = _Attention(channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = _Attention(channels, channels // 2)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = _Mlp(channels, HIDDEN * channels, channels, activation=nn.GELU)
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = _Attention(channels, channels // 2)

    def forward(self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor) -> tuple[Tensor, Tensor]:
        if not self.first:
            queries = queries + query_pe
        queries = self.norm1(queries + self.self_attn(queries, queries, queries))
        attended = self.cross_attn_token_to_image(queries + query_pe, keys + key_pe, keys)
        queries = self.norm2(queries + attended)
        queries = self.norm3(queries + self.mlp(queries))
        attended = self.cross_attn_image_to_token(keys + key_pe, queries + query_pe, queries)
        return queries, self.norm4(keys + attended)


class TwoWayTransformer(nn.Module):
    """Prompt tokens and image tokens, each reading the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TwoWayLayer(channels, first=index == 0) for index in range(LAYERS))
        self.final_attn_token_to_image = _Attention(channels, channels // 2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Both after having read each other.

        Args:
            tokens: ``(n, t, C)``; they are their own positions.
            image: ``(n, h * w, C)``.
            image_pe: ``(1, h * w, C)``, its positions.
        """
        queries, keys = tokens, image
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, image_pe)
        attended = self.final_attn_token_to_image(queries + tokens, keys + image_pe, keys)
        return self.norm_final_attn(queries + attended), keys


class MaskDecoder(nn.Module):
    """An embedding and prompt tokens to masks and predicted IoUs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(channels)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(TOKENS, channels)
        middle, last = channels // 4, channels // 8
        self.final_output_upscaling_layers = nn.Sequential(
            nn.Sequential(nn.ConvTranspose2d(channels, middle, 2, stride=2), nn.GroupNorm(1, middle), nn.GELU()),
            nn.Sequential(nn.ConvTranspose2d(middle, last, 2, stride=2), nn.GELU()),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            _Mlp(channels, channels, channels, last, activation=nn.GELU) for _ in range(TOKENS)
        )
        self.iou_prediction_head = _Mlp(channels, channels, channels, TOKENS, activation=nn.GELU)

    def forward(self, embedding: Tensor, positions: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Three masks for each of n prompts.

        Args:
            embedding: ``(1, C, h, w)`` of one photo.
            positions: ``(1, C, h, w)`` of its tokens.
            prompts: ``(n, t, C)``.

        Returns:
            Logits ``(n, 3, 4h, 4w)`` and predicted IoUs ``(n, 3)``, in the order of the network.
        """
        n = len(prompts)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(n, -1, -1)
        image = embedding.flatten(2).transpose(1, 2).expand(n, -1, -1)
        image_pe = positions.flatten(2).transpose(1, 2)
        read, image = self.transformer(torch.cat([own, prompts], dim=1), image, image_pe)
        pictures = self.final_output_upscaling_layers(image.transpose(1, 2).unflatten(2, embedding.shape[-2:]))
        weights = torch.stack(
            [mlp(read[:, 1 + index]) for index, mlp in enumerate(self.output_hypernetworks_mlps) if index > 0], dim=1
        )
        logits = (weights @ pictures.flatten(2)).unflatten(2, pictures.shape[-2:])
        return logits, self.iou_prediction_head(read[:, 0])[:, 1:]
