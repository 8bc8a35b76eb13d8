"""Several white boxes that are attacked together."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from segrobust.errors import CapabilityError, UsageError
from segrobust.models.base import (
    Embedding,
    EverythingFirst,
    Observed,
    Prediction,
    Segmenter,
    WhiteBox,
    require_white_box,
)
from segrobust.models.ensemble_names import MEAN, check_rule, ensemble_name
from segrobust.models.geometry import Geometry
from segrobust.types import Image, Masks, Prompts


class Ensemble(WhiteBox):
    """White boxes whose gradients an attack uses together (Liu et al., ICLR 2017, arXiv 1611.02770).

    Everywhere but in an attack's gradient it is its first member: masks, embeddings and answers are that one's. What an
    attack makes of the members: ``segrobust.attacks.together``.

    Args:
        members: two or more, on one device; the first is the one that answers.
        rule: one of ``ensemble_names.RULES``.

    Raises:
        UsageError: fewer than two, or on several devices.
        CapabilityError: a member gives no gradients, or is an ensemble itself.
        ModelError: another rule.
    """

    def __init__(self, members: Sequence[Segmenter], rule: str = MEAN) -> None:
        check_rule(rule)
        if len(members) < 2:
            raise UsageError(f"an ensemble has at least two members, got {len(members)}")
        self.members = tuple(require_white_box(member) for member in members)
        if any(isinstance(member, Ensemble) for member in members):
            raise CapabilityError("the members of an ensemble are single models; name them all in one ensemble")
        devices = sorted({str(member.device) for member in self.members})
        if len(devices) > 1:
            raise UsageError(f"the members of an ensemble are on one device, got {', '.join(devices)}")
        self.rule = rule
        self.first = self.members[0]
        self.name = ensemble_name(tuple(member.name for member in self.members), rule)
        self.capabilities = self.first.capabilities
        self.everything = self.first.everything
        self.device = self.first.device
        if isinstance(self.first, EverythingFirst):  # then so is the ensemble
            vars(self)["find_masks"] = self.first.find_masks

    @property
    def fingerprint(self) -> str:
        """sha256 of the members' names and fingerprints, and of the rule."""
        about = [[member.name, str(getattr(member, "fingerprint", ""))] for member in self.members]
        return hashlib.sha256(json.dumps([about, self.rule]).encode()).hexdigest()

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """The first member's."""
        return self.first.geometry(size)

    def resize(self, images: Tensor) -> Tensor:
        """The first member's."""
        return self.first.resize(images)

    def prepare(self, pixels: Tensor) -> Tensor:
        """The first member's."""
        return self.first.prepare(pixels)

    def encode(self, inputs: Tensor) -> Tensor:
        """The first member's."""
        return self.first.encode(inputs)

    @property
    def depth(self) -> int:
        """The first member's."""
        return self.first.depth

    def observe(self, inputs: Tensor, layers: Sequence[int] = ()) -> Observed:
        """The first member's."""
        return self.first.observe(inputs, layers)

    def embed(self, images: Tensor) -> Embedding:
        """The first member's."""
        return self.first.embed(images)

    def embed_photos(self, photos: Sequence[Image]) -> list[Embedding]:
        """The first member's."""
        return self.first.embed_photos(photos)

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """The first member's."""
        return self.first.answer(image, prompts, rule)

    def candidates(self, image: Image, prompts: Prompts) -> tuple[Masks, ...]:
        """The first member's."""
        return self.first.candidates(image, prompts)

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        """The first member's."""
        return self.first.masks(embedding, prompts, multimask=multimask)

    def views_at_a_time(self, views: int) -> int:
        """What fits for every member; they are asked one after the other."""
        return min(member.views_at_a_time(views) for member in self.members)


def members(segmenter: WhiteBox) -> tuple[WhiteBox, ...]:
    """The members of an ensemble; a single model is its own only one."""
    return segmenter.members if isinstance(segmenter, Ensemble) else (segmenter,)


def require_single(segmenter: WhiteBox, what: str) -> WhiteBox:
    """The same white box, known to be one model: an ensemble would be its first member without a word.

    Args:
        segmenter: the model.
        what: is made of one model only, for the error.

    Raises:
        CapabilityError: it is an ensemble.
    """
    if isinstance(segmenter, Ensemble):
        raise CapabilityError(f"{what} one model, not an ensemble ({segmenter.name!r}); name {segmenter.first.name!r}")
    return segmenter


def made_on(segmenter: Segmenter) -> dict[str, Any]:
    """For records: the members of an ensemble, their weights' sha256, and its rule; nothing of a single model."""
    if not isinstance(segmenter, Ensemble):
        return {}
    about = [{"model": m.name, "sha256": str(getattr(m, "fingerprint", ""))} for m in segmenter.members]
    return {"ensemble": {"rule": segmenter.rule, "members": about}}
