"""What segmenters are told and what they give: abilities, settings, embeddings, predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segrobust.models.geometry import Geometry
from segrobust.models.windows import Restorer
from segrobust.types import Bools, Masks


@dataclass(frozen=True)
class Capabilities:
    """What a model can do.

    Attributes:
        gradient: gradients reach the pixels.
        points: takes point prompts.
        boxes: takes box prompts.
        everything: can segment without prompts.
    """

    gradient: bool
    points: bool
    boxes: bool
    everything: bool

    def names(self) -> tuple[str, ...]:
        """The capabilities that are present."""
        return tuple(name for name, value in vars(self).items() if value)


@dataclass(frozen=True)
class EverythingSettings:
    """Settings of segment everything; the defaults are those of SAM's automatic mask generator.

    A model whose predicted IoU is calibrated differently carries its own.

    Attributes:
        points_per_side: the prompt grid is this many points squared.
        points_per_batch: prompts decoded at a time.
        predicted_iou_threshold: masks below it are dropped.
        stability_threshold: masks whose stability score is below it are dropped.
        stability_offset: how far the logit threshold is moved for the stability score.
        box_nms_threshold: of two masks whose boxes overlap more, the one with the lower predicted IoU goes.
        crop_layers: 0 = the whole photo only; layer i adds 4**i crops.
        crop_overlap: overlap of neighbouring crops as a share of the photo's short side, halved with every layer.
        crop_nms_threshold: box NMS between crops; the smaller crop wins.
        crop_points_divisor: layer i's grid has ``points_per_side / divisor**i`` points per side.
        min_region_area: pixels; smaller islands and holes are removed (0 = leave them).
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    predicted_iou_threshold: float = 0.88
    stability_threshold: float = 0.95
    stability_offset: float = 1.0
    box_nms_threshold: float = 0.7
    crop_layers: int = 0
    crop_overlap: float = 512 / 1500
    crop_nms_threshold: float = 0.7
    crop_points_divisor: int = 1
    min_region_area: int = 0


@dataclass(frozen=True)
class Embedding:
    """One photo (or several of one size), embedded.

    Attributes:
        features: ``(B, C, h, w)``, what attacks push; differentiable to the pixels where the family allows it.
        geometry: how the photo lies in the model's input.
        extra: what else the family's decoder needs, e.g. finer features; nobody else looks at it.
    """

    features: Tensor
    geometry: Geometry
    extra: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Observed:
    """What an encoder computes of prepared inputs, for attacks that look at more than the embedding.

    Attributes:
        features: ``(B, C, h, w)``, as ``encode`` gives it.
        extra: what else the family's decoder needs, see ``Embedding.extra``.
        layers: the outputs of the inner layers that were asked for, by number, each ``(B, C, h, w)`` float32.
    """

    features: Tensor
    extra: tuple[Tensor, ...] = ()
    layers: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to n prompts.

    Attributes:
        logits: ``(n, k, h, w)`` low-resolution mask logits; k is 1, or 3 with ``multimask``.
        predicted_iou: ``(n, k)``, the model's own estimate.
        geometry: how to bring the logits back to the photo.
        presence: ``(n,)``, the logit that what a prompt asks for is on the photo at all; None of families without one.
    """

    logits: Tensor
    predicted_iou: Tensor
    geometry: Geometry
    presence: Tensor | None = None

    def choose(self, rule: str = "single") -> Masks:
        """One mask per prompt, at the photo's resolution, compressed.

        Args:
            rule: ``single`` (k must be 1) or ``best`` (the highest predicted IoU of the k).
        """
        k = self.predicted_iou.shape[1]
        if rule == "single" and k != 1:
            raise ValueError(f"rule 'single' needs one mask per prompt, got {k}")
        if rule not in ("single", "best"):
            raise ValueError(f"rule must be 'single' or 'best', got {rule!r}")
        return self._pick(self.predicted_iou.argmax(dim=1))

    def candidates(self) -> tuple[Masks, ...]:
        """Everything there is to choose from: k times one mask per prompt, in the decoder's order."""
        n, k = self.predicted_iou.shape
        return tuple(self._pick(torch.full((n,), j, device=self.predicted_iou.device)) for j in range(k))

    def _pick(self, which: Tensor) -> Masks:
        height, width = self.logits.shape[-2:]
        restorer = Restorer(self.geometry, (height, width), self.logits.device)
        rles = [restorer.encode(self.logits[i, int(choice)]) for i, choice in enumerate(which)]
        scores = self.predicted_iou.gather(1, which[:, None])[:, 0].cpu().double().numpy()
        return Masks.from_rles(self.geometry.original, rles, predicted_iou=scores)

    def full_mask(self, prompt: int, choice: int) -> Bools:
        """One mask ``(H, W)`` bool at the photo's resolution (logit > 0)."""
        full = self.geometry.restore(self.logits[prompt : prompt + 1, choice : choice + 1].float())
        mask: Bools = (full[0, 0] > 0).cpu().numpy()
        return mask
