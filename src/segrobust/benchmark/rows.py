"""Rows: one photo, shown to one model under one protocol, with the score it got. What checks, tables and reports read.

A row is plain data. The engine makes it from its store; everything behind it (aggregates, checks, report, comparison)
needs neither the models nor the photos.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segrobust.errors import UsageError
from segrobust.models.ensemble_names import members_of

CLEAN = "clean"
NOISE = "noise"
SIGN_NOISE = "sign-noise"
CONTROLS = (CLEAN, NOISE, SIGN_NOISE)
"""Recipes that are no attacks; every table has their rows."""
NO_DEFENCE = "none"
ADAPTIVE_MARK = " (adaptive)"
PROTOCOLS = ("clean", "annotation", "everything")
STATES = ("done", "failed")

Key = tuple[str, str, str, str, str, str, str, bool]
Cell = tuple[str, str | None, str, str, str, str, bool]


@dataclass(frozen=True)
class Row:
    """The score of one photo.

    Attributes:
        dataset: name of the photo's dataset in the plan.
        image: the photo's id, unique in its dataset.
        surrogate: the model, or the ensemble, that the attack looked into; None for the original photo and for noise,
            which need none.
        attack: the label in tables, e.g. ``rga`` or ``rga[eps=4/255]``; ``clean`` for the original photo, and
            ``noise`` and ``sign-noise`` (with their epsilon, where a plan has several) for the controls.
        recipe: the name in the table of attacks; one label has one recipe.
        parameters: what the attack was changed by, and what else decided it.
        epsilon: the budget as it is written, e.g. ``8/255``; ``0`` for the original photo.
        target: the model that answered.
        defence: what stood before the target; ``none`` for nothing.
        protocol: ``clean`` (against the target's own answers on the original), ``annotation`` (against annotated
            masks) or ``everything`` (segment everything, against what it finds on the original).
        adaptive: whether the attack knew the defence.
        state: ``done`` or ``failed``.
        error: why it failed, in one line; None if it did not.
        item: what was measured; ``{}`` if it failed. Of the prompt protocols: ``prompts``, a mapping of equally long
            lists ``kind`` (point or box), ``mask``, ``area`` (pixels of the reference mask), ``iou``,
            ``boundary_iou``, ``precision``, ``recall``, ``f1`` (in [0, 1], or None where undefined), ``displacement``
            (pixels, or None where a mask is empty; older runs have no such list); ``empty``; and ``shown``, a few
            answers to draw (``evaluation.shown``; older runs have none).
            Of ``everything``: ``masks_clean``, ``masks_found``, ``matched_miou``, ``map``.
        made: how the photo was made, and what lies on disk; ``{}`` for the original. ``linf_255``, ``l2`` (of values
            in [0, 1]), ``psnr``, ``ssim``, ``bytes``, ``object`` (the saved photo's name in the run folder); ``loss``
            (before each step, and at the end),
            ``encoder_forward``, ``encoder_backward``, ``seconds``, ``settings``, ``notes``, ``float_to_8bit``
            (the share of the gain that saving gave back, or None).
    """

    dataset: str
    image: str
    surrogate: str | None
    attack: str
    recipe: str
    epsilon: str
    target: str
    defence: str
    protocol: str
    adaptive: bool = False
    state: str = "done"
    error: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    item: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no table would know where to put.

        Raises:
            UsageError: an unknown protocol or state, or a failure without a reason.
        """
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"a row's protocol is one of {', '.join(PROTOCOLS)}, got {self.protocol!r}")
        if self.state not in STATES:
            raise UsageError(f"a row's state is done or failed, got {self.state!r}")
        if (self.state == "failed") != bool(self.error):
            raise UsageError(
                f"a failed row says why, and no other does, got state {self.state!r}, error {self.error!r}"
            )

    @property
    def done(self) -> bool:
        """Whether there is a score."""
        return self.state == "done"

    @property
    def control(self) -> bool:
        """Whether this is a row that attacks are judged by, and no attack."""
        return self.recipe in CONTROLS

    @property
    def white_box(self) -> bool:
        """Whether the attack looked into the very model that answered, alone or among others."""
        return self.surrogate is not None and self.target in (self.surrogate, *members_of(self.surrogate))

    def key(self) -> Key:
        """What makes a row unique; sorted by it, rows are in one order whatever order they were computed in."""
        made_on = self.surrogate or ""  # a None does not sort beside a name
        return (
            self.dataset, made_on, self.attack, self.target, self.defence, self.protocol, self.image, self.adaptive,
        )  # fmt: skip

    @property
    def cell(self) -> Cell:
        """What a row has in common with the rows of the other photos: its place in a table."""
        return (
            self.dataset, self.surrogate, self.attack, self.target, self.defence, self.protocol, self.adaptive,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Row":
        """The row that :meth:`to_dict` wrote.

        Raises:
            UsageError: a field is missing, or there is one that a row does not have.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        needed = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
        odd = sorted(set(values) - known) + sorted(needed - set(values))
        if odd:
            raise UsageError(f"a row has the fields {', '.join(sorted(known))}; missing or unknown: {', '.join(odd)}")
        return cls(**values)
