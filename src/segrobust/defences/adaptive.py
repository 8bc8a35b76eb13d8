"""A white box behind a defence: what an attack differentiates when it knows the defence."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from segrobust.defences.base import Defence, NoDefence
from segrobust.defences.defended import Defended
from segrobust.defences.names import make_defence
from segrobust.defences.placement import PlacedGeometry
from segrobust.errors import UsageError
from segrobust.models.base import Embedding, EverythingFirst, EverythingSettings, Observed, Prediction, WhiteBox
from segrobust.models.ensemble import Ensemble
from segrobust.models.geometry import Geometry
from segrobust.randomness import stream
from segrobust.types import Image, Masks, Prompts


def adaptive(white: WhiteBox, defence: Defence | str, draws: int = 10, seed: int = 0) -> WhiteBox:
    """A white box whose gradient goes through a defence.

    Source: Athalye, Carlini and Wagner, ICML 2018 (arXiv 1802.00420): backward passes that are approximated (BPDA), and
    the expectation over transformations (EOT, Athalye et al., ICML 2018, arXiv 1707.07397).

    Args:
        white: the model behind the defence.
        defence: from ``make_defence``, or its name.
        draws: of a random defence, at every gradient step; a deterministic one has one.
        seed: of the draws.

    Returns:
        An :class:`Adaptive`; ``white`` itself for ``none``; of an ensemble, the ensemble of its members' own.

    Raises:
        UsageError: no such defence, or fewer than one draw.
    """
    made = make_defence(defence) if isinstance(defence, str) else defence
    if draws < 1:
        raise UsageError(f"draws must be at least 1, got {draws}; the expectation over a random defence needs 10 or so")
    if isinstance(made, NoDefence):
        return white
    if isinstance(white, Ensemble):
        return Ensemble([adaptive(member, made, draws, seed) for member in white.members], white.rule)
    return Adaptive(white, made, draws if made.random else 1, seed)


class Adaptive(WhiteBox, EverythingFirst):
    """``resize`` goes through the defence first, on the photo's own pixels; everything else is the model's.

    Where a gradient is asked for, ``resize`` gives ``draws`` pictures of every photo, one after the other, and an
    attack's views take them as so many photos. They come from the stream of (seed, the values it is given, the
    defence's name), so they are new at every step, and an attack that is repeated draws the same. One draw at a time is
    in memory: for the gradient the defence is computed again. Without a gradient there is one picture, the middle of
    all draws: what a goal starts from. ``embed``, ``geometry`` and ``masks`` are of that one as well. ``answer``,
    ``candidates`` and ``find_masks`` are those of the real defence (``defend``). Other attributes are the model's own.

    Args:
        white: the model behind the defence.
        defence: its surrogate is differentiated.
        draws: pictures of every photo.
        seed: of the draws.
    """

    def __init__(self, white: WhiteBox, defence: Defence, draws: int, seed: int) -> None:
        self.inner = white
        self.defence = defence
        self.draws = draws
        self.seed = seed
        self.scored = Defended(white, defence, seed)
        self.name = self.scored.name
        self.capabilities = white.capabilities
        self.everything = white.everything
        self.device = white.device

    def __getattr__(self, name: str) -> Any:
        """Whatever else the model shows (its weights' fingerprint, its network)."""
        if name == "inner":  # not made yet, e.g. while it is copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """How a photo of ``size`` (height, width) lies in the model's input; of random places, the middle."""
        placements = self.defence.mean_placements(size)
        geometry = self.inner.geometry(placements[-1].canvas if placements else size)
        for placement in reversed(placements):
            geometry = PlacedGeometry.of(geometry, placement)
        return geometry

    def resize(self, images: Tensor) -> Tensor:
        """Photos ``(B, 3, H, W)`` in [0, 1], defended, at the model's resolution, unpadded.

        Returns:
            ``(B draws, 3, h, w)`` if ``images`` requires a gradient, otherwise ``(B, 3, h, w)``; see the class.
        """
        if not (torch.is_grad_enabled() and images.requires_grad):
            return self.inner.resize(self.defence.surrogate(images, None))
        pictures = [self._again(images, draw) for draw in self._draws(images)]
        return torch.stack(pictures, dim=1).flatten(0, 1)

    def prepare(self, pixels: Tensor) -> Tensor:
        """The model's."""
        return self.inner.prepare(pixels)

    def encode(self, inputs: Tensor) -> Tensor:
        """The model's."""
        return self.inner.encode(inputs)

    @property
    def depth(self) -> int:
        """The model's."""
        return self.inner.depth

    def observe(self, inputs: Tensor, layers: Sequence[int] = ()) -> Observed:
        """The model's."""
        return self.inner.observe(inputs, layers)

    def edited(self, layer: int, edit: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """The model's."""
        return self.inner.edited(layer, edit)

    def views_at_a_time(self, views: int) -> int:
        """The model's; draws and copies are views like others."""
        return self.inner.views_at_a_time(views)

    def embed(self, images: Tensor) -> Embedding:
        """Embed photos behind the defence, in the middle of its draws.

        Args:
            images: ``(B, 3, H, W)`` or ``(3, H, W)`` float in [0, 1].
        """
        batch = (images[None] if images.ndim == 3 else images).to(self.device)
        one = self.inner.embed(self.defence.surrogate(batch, None))
        return replace(one, geometry=self.geometry((batch.shape[-2], batch.shape[-1])))

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        """Answer prompts on an embedded photo; of random places, as if it lay at the middle one."""
        return self.inner.masks(embedding, prompts, multimask=multimask)

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """The answers that are scored, behind the real defence."""
        return self.scored.answer(image, prompts, rule)

    def candidates(self, image: Image, prompts: Prompts) -> tuple[Masks, ...]:
        """The candidates that are scored, behind the real defence."""
        return self.scored.candidates(image, prompts)

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """The masks that are scored, behind the real defence."""
        return self.scored.find_masks(image, settings)

    def _draws(self, images: Tensor) -> list[str]:
        """A name for the stream of every draw."""
        if not self.defence.random:
            return [""]
        digest = hashlib.sha256(images.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        return [f"{digest} {i}" for i in range(self.draws)]

    def _again(self, images: Tensor, draw: str) -> Tensor:
        """One draw, resized; computed again when its gradient is asked for instead of kept in memory."""

        def once(photos: Tensor) -> Tensor:
            return self.inner.resize(self.defence.surrogate(photos, stream(self.seed, draw, self.defence.name)))

        picture: Tensor = checkpoint(once, images, use_reentrant=False, preserve_rng_state=False)
        return picture
