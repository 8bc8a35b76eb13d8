"""SAM-HQ's mask decoder as its authors run it, on the weights of transformers' modules.

Source: Ke et al. 2023 (arXiv 2306.01567), section 3; ``segment_anything_hq`` 0.3. Why not transformers' own forward:
its decoder (5.23) upscales the embedding as it was before the two-way transformer, rows and columns swapped, for it
gives the transformer's second result another name. Its masks are then not those of the authors' code.
"""

from typing import Any

import torch
from torch import Tensor


def decode_hq(
    decoder: Any,
    embedding: Tensor,
    early: Tensor,
    position: Tensor,
    dense: Tensor,
    prompts: Tensor,
    multimask: bool,
) -> tuple[Tensor, Tensor]:
    """Answers to n prompts on one photo; each mask's logits are the sum of SAM's and the high-quality token's.

    Args:
        decoder: transformers' ``SamHQMaskDecoder``; its parts are used.
        embedding: ``(1, C, h, w)``.
        early: ``(1, h, w, W)``, what the encoder's first block with global attention gives.
        position: ``(1, C, h, w)``, the positional encoding of every token of the embedding.
        dense: ``(1, C, h, w)``, the embedding of "no mask given".
        prompts: ``(n, t, C)``, the tokens of each prompt.
        multimask: three masks in the network's order instead of one.

    Returns:
        Logits ``(n, k, 4h, 4w)`` and predicted IoUs ``(n, k)``. Where we differ from the authors: of several masks they
        return the one with the highest predicted IoU, which is the answer to the rule ``best`` here.
    """
    count, (height, width) = len(prompts), embedding.shape[-2:]
    special = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight, decoder.hq_token.weight])
    tokens = torch.cat([special.expand(count, -1, -1), prompts], dim=1)
    queries, keys = decoder.transformer(
        point_embeddings=tokens[:, None],
        image_embeddings=(embedding + dense).expand(count, -1, -1, -1),
        image_positional_embeddings=position.expand(count, -1, -1, -1),
        attention_similarity=None,
    )
    queries = queries[:, 0]
    looked_at = keys[:, 0].transpose(1, 2).unflatten(2, (height, width))
    gelu = decoder.activation
    coarse = gelu(decoder.upscale_conv2(gelu(decoder.upscale_layer_norm(decoder.upscale_conv1(looked_at)))))
    fine = decoder.mask_conv2(gelu(decoder.mask_norm(decoder.mask_conv1(coarse)))) + _details(decoder, embedding, early)
    mlps = decoder.output_hypernetworks_mlps
    weights = torch.stack([mlp(queries[:, 1 + i]) for i, mlp in enumerate(mlps)], dim=1)
    sam = torch.einsum("nkc,nchw->nkhw", weights, coarse)
    high_quality = torch.einsum("nc,nchw->nhw", decoder.hq_mask_mlp(queries[:, 1 + len(mlps)]), fine)
    chosen = slice(1, None) if multimask else slice(0, 1)
    iou: Tensor = decoder.iou_prediction_head(queries[:, 0])
    return sam[:, chosen] + high_quality[:, None], iou[:, chosen]


def _details(decoder: Any, embedding: Tensor, early: Tensor) -> Tensor:
    """The global and local features that SAM-HQ fuses, ``(1, C / 8, 4h, 4w)``."""
    gelu = decoder.activation
    late = decoder.encoder_conv2(gelu(decoder.encoder_norm(decoder.encoder_conv1(embedding))))
    first = early.permute(0, 3, 1, 2)
    both: Tensor = late + decoder.compress_vit_conv2(gelu(decoder.compress_vit_norm(decoder.compress_vit_conv1(first))))
    return both
