"""Training ``nano-conv``: every cell of the grid learns the masks of what lies under it, no prompts."""

from pathlib import Path
from typing import Any

import torch
from batches import Batch
from families import Embedded, write_model
from losses import masks_against
from torch import Tensor, nn
from torch.nn import functional as F

from segrobust.models.nano_conv_net import NanoConv, NanoConvConfig, compose

CELLS_PER_IMAGE = 40


class ConvFamily:
    """The network, and the same mask losses as the promptable models', over cells instead of prompts."""

    name = "nano-conv"

    def build(self) -> nn.Module:
        """The model, untrained."""
        torch.manual_seed(0)
        model = NanoConv(NanoConvConfig())
        return model.to(memory_format=torch.channels_last)

    def embed(self, model: nn.Module, pixels: Tensor) -> Embedded:
        """Normalised, padded pixels ``(B, 3, S, S)`` through the encoder."""
        features, fine = model.vision_encoder(pixels.contiguous(memory_format=torch.channels_last))
        return Embedded(features, (fine,))

    def mask_loss(self, model: nn.Module, image: Embedded, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses of cells drawn so that every region has the same chance, whatever its size."""
        weights, quality, prototypes = model.heads(image.features, *image.fine)
        grid = image.features.shape[-1]
        under = cells_regions(batch.regions, grid)
        logits, truths, scores = [], [], []
        for number, regions in enumerate(under):
            cells = draw_cells(regions)
            logits.append(compose(weights[number, cells].float(), cells, prototypes[number].float(), grid))
            truths.append(targets(batch.regions[number], regions[cells], prototypes.shape[-1]))
            scores.append(quality[number, cells].float())
        multi, fit, best = masks_against(torch.cat(logits), torch.cat(scores), torch.cat(truths))
        return multi + fit, {"multi": multi, "quality": fit, "best": best}

    def affine(self, features: Tensor) -> Tensor:
        """The embedding at the tokens' resolution (stride 16), for the affinity loss."""
        return F.avg_pool2d(features, 2)

    def export(self, model: nn.Module, folder: Path) -> None:
        """Write weights and configuration."""
        write_model(model, folder, self._config(model))

    def _config(self, model: nn.Module) -> dict[str, Any]:
        return {"format": "segrobust-nano-conv/1", "architecture": model.conv_config.to_dict()}


def cells_regions(regions: Tensor, grid: int) -> Tensor:
    """``(B, S, S)`` region numbers to those at the centres of the cells, ``(B, grid * grid)``."""
    step = regions.shape[-1] // grid
    return regions[:, step // 2 :: step, step // 2 :: step].flatten(1)


def draw_cells(regions: Tensor) -> Tensor:
    """Numbers of cells whose region is known: first a region, then one of its cells."""
    known, where, counts = regions.unique(return_inverse=True, return_counts=True)
    weights = (known > 0).float()[where] / counts[where]
    if not weights.any():
        return torch.zeros(0, dtype=torch.int64)
    return weights.multinomial(CELLS_PER_IMAGE, replacement=True)


def targets(regions: Tensor, asked: Tensor, side: int) -> Tensor:
    """Share of each of ``side`` x ``side`` pixels inside the asked regions, ``(n, side, side)``."""
    numbers, where = asked.unique(return_inverse=True)
    masks = (regions[None] == numbers[:, None, None]).float()
    return F.avg_pool2d(masks, regions.shape[-1] // side)[where]
