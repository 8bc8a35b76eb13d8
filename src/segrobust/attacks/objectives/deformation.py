"""UAD's target: the photo, deformed smoothly and differently in four interleaved sets of cells (arXiv 2404.02585)."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

FLOW_STRIDE = 4
"""The flow is computed at every fourth pixel and enlarged: it is smooth, and this is a sixteenth of the work."""


def polyharmonic(sources: Tensor, targets: Tensor, points: Tensor) -> Tensor:
    """The interpolating spline of order 1 in the plane: ``sum_i w_i |p - t_i| + affine``, with t_i mapped to s_i.

    Args:
        sources: ``(n, k, 2)``, the values at the targets.
        targets: ``(n, k, 2)``, where they hold; no two alike, not all on a line.
        points: ``(m, 2)``, where it is evaluated.

    Returns:
        ``(n, m, 2)``; differentiable in sources and targets.
    """
    n, k, _ = targets.shape
    corner = torch.cat([targets, torch.ones_like(targets[..., :1])], dim=-1)
    top = torch.cat([_length(targets[:, :, None] - targets[:, None]), corner], dim=2)
    bottom = torch.cat([corner.mT, torch.zeros((n, 3, 3)).to(targets)], dim=2)
    wanted = torch.cat([sources, torch.zeros((n, 3, 2)).to(sources)], dim=1)
    weights = torch.linalg.solve(torch.cat([top, bottom], dim=1), wanted)
    near = _length(points[None, :, None] - targets[:, None])
    affine = torch.cat([points, torch.ones_like(points[:, :1])], dim=1)
    values: Tensor = near @ weights[:, :k] + affine @ weights[:, k:]
    return values


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1).clamp(min=1e-20).sqrt()


@dataclass(frozen=True)
class Deformation:
    """How a photo is deformed; lengths are shares of its long side (the code's: pixels of 1024).

    Attributes:
        controls: control points per side of the photo; 6.
        fields: warps that are put together; 4, one for each cell of a 2 x 2 pattern.
        cell: side of a cell; 300 of 1024.
        noise: how far the moving ends begin from the fixed ones, a standard deviation in spacings of the controls; 0.1.
        rate: of Adam, on both ends; 10 of 1024.
        epochs: 40.
        coherence: weight of L_C; 0.05, of motions in pixels of 1024.
        across: how much a difference between the fields counts against one inside a field, in L_C; 0.5.
    """

    controls: int = 6
    fields: int = 4
    cell: float = 300 / 1024
    noise: float = 0.1
    rate: float = 10 / 1024
    epochs: int = 40
    coherence: float = 0.05
    across: float = 0.5

    def __post_init__(self) -> None:
        if self.controls < 2 or self.fields < 1 or self.epochs < 0:
            raise ValueError(
                "a deformation takes controls >= 2, fields >= 1 and epochs >= 0, got "
                f"{self.controls}, {self.fields}, {self.epochs}"
            )
        if self.cell <= 0 or self.rate <= 0 or self.noise < 0:
            raise ValueError(f"wanted: cell, rate > 0 and noise >= 0; got {self.cell}, {self.rate}, {self.noise}")


@dataclass(eq=False)
class Flow:
    """The control points of a deformation, and what they make of a photo.

    Coordinates are xy in long sides, 0 the top left corner of the photo.

    Attributes:
        pixels: the photo, ``(1, 3, h, w)`` in [0, 1], at the model's resolution.
        setting: see there.
        generator: where the moving ends begin is drawn from it; on the CPU.
    """

    pixels: Tensor
    setting: Deformation
    generator: torch.Generator
    sources: Tensor = field(init=False)
    targets: Tensor = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[-2:]
        self._extent = torch.tensor([width, height]).to(self.pixels) / max(height, width)
        side, fields = self.setting.controls, self.setting.fields
        line = torch.linspace(0, 1, side)
        y, x = torch.meshgrid(line, line, indexing="ij")
        grid = (torch.stack([x, y], dim=-1).view(1, -1, 2).to(self.pixels) * self._extent).repeat(fields, 1, 1)
        drawn = torch.randn(grid.shape, generator=self.generator).to(grid)
        spacing = self._extent / (side - 1)
        self.sources = grid.clone().requires_grad_()
        self.targets = (grid + self.setting.noise * spacing * drawn).requires_grad_()

    def deformed(self) -> Tensor:
        """The deformed photo ``(1, 3, h, w)``; differentiable in both ends."""
        height, width = self.pixels.shape[-2:]
        moved = self._motion(height, width) / self._extent * 2 - 1  # as grid_sample counts
        fields = len(moved)
        photos = F.grid_sample(
            self.pixels.expand(fields, -1, -1, -1), moved, padding_mode="reflection", align_corners=False
        )
        cells = F.grid_sample(self._cells(height, width), moved, padding_mode="reflection", align_corners=False)
        share = cells / cells.sum(0, keepdim=True).clamp(min=1e-6)
        mixed = (photos * share).sum(0, keepdim=True)
        return torch.where(cells.sum(0, keepdim=True) > 1e-6, mixed, photos.mean(0, keepdim=True))

    def incoherence(self) -> Tensor:
        """L_C, scalar: deviation of the motions inside a field, minus ``across`` times that of the fields' means."""
        motion = (self.targets - self.sources) * 1024
        inside = motion.std(dim=1, correction=0).mean()
        return inside - self.setting.across * motion.mean(1).std(dim=0, correction=0).mean()

    def _motion(self, height: int, width: int) -> Tensor:
        """Where each pixel of each field is taken from, ``(fields, h, w, 2)`` in long sides."""
        rows, columns = math.ceil(height / FLOW_STRIDE), math.ceil(width / FLOW_STRIDE)
        y = (torch.arange(rows).to(self.pixels) + 0.5) / rows * self._extent[1]
        x = (torch.arange(columns).to(self.pixels) + 0.5) / columns * self._extent[0]
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        taken = polyharmonic(self.sources, self.targets, points.view(-1, 2)).view(-1, rows, columns, 2)
        # The offset is enlarged, not the place itself, whose steep ramp would be bent at the edges.
        offset = (taken - points).permute(0, 3, 1, 2)
        offset = F.interpolate(offset, (height, width), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
        y = (torch.arange(height).to(self.pixels) + 0.5) / height * self._extent[1]
        x = (torch.arange(width).to(self.pixels) + 0.5) / width * self._extent[0]
        return offset + torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)

    def _cells(self, height: int, width: int) -> Tensor:
        """Which field shows a cell: 1 or 0, ``(fields, 1, h, w)``; rows of cells take turns, as columns do."""
        cell = max(1, round(self.setting.cell * max(height, width)))
        across = math.ceil(math.sqrt(self.setting.fields))
        row = torch.arange(height) // cell % math.ceil(self.setting.fields / across)
        column = torch.arange(width) // cell % across
        number = (row[:, None] * across + column) % self.setting.fields
        return F.one_hot(number, self.setting.fields).permute(2, 0, 1)[:, None].to(self.pixels)
