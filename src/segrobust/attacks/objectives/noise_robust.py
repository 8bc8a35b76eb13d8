"""UMI-GRAT's gradient-robust loss (Xia et al., NeurIPS 2024, arXiv 2410.20197): inner differences with noise on them.

A victim fine-tuned from the surrogate has other inner features. Noise on the surrogate's inner differences stands for
what is not known of them. The paper's equation and the authors' code differ; both are here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segrobust.attacks.objectives.inner import Stack, followed
from segrobust.attacks.seen import Seen


@dataclass(frozen=True, eq=False)
class NoiseRobustPaper:
    """``-| d_m + 1/(m - 1) sum_i e_i d_i |_1 / numel`` with ``d_i = f_i(x') - f_i(x)`` and ``e_i`` Gaussian noise.

    The paper's loss. The L1 norm is divided by its number of elements, which changes no sign of the gradient. Only
    layers of the deepest one's shape can be added to it; in a plain ViT these are all, in a pyramid the last stage.

    Attributes:
        clean: f(x), one ``(1, ...)`` for each layer, the deepest (m) last.
        layers: their numbers.
        sigma: standard deviation of the noise, drawn for every element, view and gradient.
        generator: on the CPU; it is drawn from here and from nowhere else.
    """

    clean: Stack
    layers: tuple[int, ...]
    sigma: float = 0.5
    generator: torch.Generator = field(default_factory=torch.Generator)

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        clean = followed(seen, self.clean)
        changes = [seen.layers[number] - c for number, c in zip(self.layers, clean, strict=True)]
        deepest = changes[-1]
        others = [change for change in changes[:-1] if change.shape == deepest.shape]
        if not others:
            return -deepest.abs().flatten(1).mean(1)
        drawn = _normal(others, self.sigma, self.generator)
        noise = torch.stack([e * change for e, change in zip(drawn, others, strict=True)]).mean(0)
        return -(deepest + noise).abs().flatten(1).mean(1)


@dataclass(eq=False)
class NoiseRobustCode:
    """The gradient-robust loss as the authors' code has it.

    ``-mean | mean_i e_i d_i / mean|f_i(x)| | - mean | 0.9999 f(x') - f(x) |``, where i runs over some of the layers,
    drawn anew for every gradient, e_i is normal around 1 for every element, and f is the final embedding. The factor
    0.9999 gives a gradient at the photo itself. As in the code the mean over the layers keeps the sign of what it adds
    up. Layers of different shapes (a pyramid) are added up apart, and each shape counts by its number of layers.

    Attributes:
        clean: f_i(x), one ``(1, ...)`` for each layer.
        embedding: f(x), ``(1, C, h, w)``.
        layers: their numbers.
        some: how many layers are drawn; the code has 4 of 6.
        sigma: of the noise around 1; the code has 0.5.
        generator: on the CPU; it is drawn from here and from nowhere else.
    """

    clean: Stack
    embedding: Tensor
    layers: tuple[int, ...]
    some: int = 4
    sigma: float = 0.5
    generator: torch.Generator = field(default_factory=torch.Generator)
    _chosen: tuple[int, ...] = ()

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        if seen.first == 0:  # a new gradient; views that come part by part share the layers
            order = torch.randperm(len(self.layers), generator=self.generator)
            self._chosen = tuple(sorted(order[: self.some].tolist()))
        clean = followed(seen, self.clean)
        final = (0.9999 * seen.features - seen.follow(self.embedding)).abs().flatten(1).mean(1)
        changes = [
            (seen.layers[self.layers[i]] - clean[i]) / self.clean[i].abs().mean().clamp(min=1e-12) for i in self._chosen
        ]
        drawn = _normal(changes, self.sigma, self.generator)
        noisy = [(1 + e) * change for e, change in zip(drawn, changes, strict=True)]
        inner = torch.zeros_like(final)
        for shape in dict.fromkeys(change.shape for change in noisy):
            alike = [change for change in noisy if change.shape == shape]
            inner = inner + torch.stack(alike).mean(0).abs().flatten(1).mean(1) * (len(alike) / len(noisy))
        return -inner - final


def _normal(changes: Sequence[Tensor], sigma: float, generator: torch.Generator) -> Stack:
    """Normal numbers around 0 for every element, view after view, so that no number depends on how views are parted."""
    views = changes[0].shape[0]
    drawn = [[torch.randn(change.shape[1:], generator=generator) for change in changes] for _ in range(views)]
    layers = zip(zip(*drawn, strict=True), changes, strict=True)
    return tuple(sigma * torch.stack(numbers).to(change) for numbers, change in layers)
