"""The contrastive goal of universal perturbations: photos should look like the perturbation, not like photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segrobust.attacks.objectives.similarity import flat_cosine
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective, Seen
from segrobust.errors import UsageError


@dataclass(frozen=True)
class LookLikeThePerturbation:
    """InfoNCE with the perturbation as anchor (Han et al., arXiv 2310.12431).

    The positive is a photo with the perturbation on it, the negatives are other photos, and all are compared by the
    cosine of their embeddings. What the authors do beyond that (temperature, how many negatives, which augmentations)
    is not known to us; those here are ours.

    Attributes:
        negatives: how many other photos, drawn once.
        temperature: of the softmax.
    """

    negatives: int = 8
    temperature: float = 0.1
    needs = ()

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise UsageError(f"negatives is at least 1 photo, got {self.negatives}")
        if self.temperature <= 0:
            raise UsageError(f"temperature must be positive, got {self.temperature}")

    def among(self, others: Sequence[Tensor]) -> "Contrast":
        """The goal of a training photo.

        Args:
            others: the embeddings of the negatives, ``(1, C, h, w)`` each.
        """
        return Contrast(tuple(others), self.temperature)


@dataclass(frozen=True, eq=False)
class Contrast:
    """A goal: InfoNCE against given negatives."""

    others: tuple[Tensor, ...]
    temperature: float
    needs = ()

    def __call__(self, scene: Scene) -> Objective:
        """The objective; it needs the photo's prepared pixels, to find the perturbation in what is shown."""
        segmenter = scene.segmenter
        with torch.no_grad():
            resized = segmenter.resize(scene.source)
            # Preparing is affine: what is left of the photo and the perturbation without the photo, on black.
            offset = segmenter.prepare(torch.zeros_like(resized)) - segmenter.prepare(resized)
        return InfoNce(offset, torch.cat(self.others), self.temperature)


@dataclass(frozen=True, eq=False)
class InfoNce:
    """``-log(exp(s(a, p) / T) / (exp(s(a, p) / T) + sum_j exp(s(a, n_j) / T)))``, a function of the prepared input.

    Attributes:
        offset: turns the prepared photo with the perturbation into the prepared perturbation, ``(1, 3, S, S)``.
        others: n_j, ``(m, C, h, w)``.
        temperature: T.

    ``further_passes`` through the encoder for each view: the anchor's.
    """

    further_passes = 1

    offset: Tensor
    others: Tensor
    temperature: float

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``; the gradient goes through the anchor and the positive."""
        assert seen.inputs is not None, "the anchor is made of what was encoded"
        assert seen.segmenter is not None
        anchor = seen.segmenter.observe(seen.inputs + self.offset).features
        near = flat_cosine(anchor, seen.features)[:, None]
        far = torch.stack([flat_cosine(anchor, other[None]) for other in self.others], dim=1)
        logits = torch.cat([near, far], dim=1) / self.temperature
        return torch.logsumexp(logits, dim=1) - logits[:, 0]
