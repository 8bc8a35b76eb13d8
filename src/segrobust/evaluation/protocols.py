"""Protocols: what the answers on an attacked photo are compared with, and which of a prompt's masks counts.

*annotation*: prompts drawn from annotated masks, which are the right answers (RGA, UAD). *clean*: prompts drawn from
the masks that one named model finds on the original; right is what the target itself answers there. *everything*: no
prompts; what the target finds by itself on the attacked photo, against what it finds on the original.

A photo is scored in two steps: :func:`right_answers_for` once per target (behind its defence) and photo, then
:func:`score` for the original and for every attack on it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from segrobust.errors import UsageError
from segrobust.evaluation.boundaries import boundary_of
from segrobust.evaluation.evaluate import PromptSettings, ask, ask_all
from segrobust.evaluation.everything import compare_everything
from segrobust.evaluation.manifest import Manifest
from segrobust.evaluation.metrics import prompt_ious
from segrobust.evaluation.overlaps import overlaps, without
from segrobust.evaluation.shown import shown_answers
from segrobust.models.base import EverythingSettings, Segmenter
from segrobust.regions.everything import segment_everything
from segrobust.types import Floats, Image, Masks

NAMES = ("annotation", "clean", "everything")
RULES = ("single", "best", "oracle")


@dataclass(frozen=True)
class Protocol:
    """How photos are scored; part of every result.

    Attributes:
        name: one of :data:`NAMES`.
        rule: which mask counts, where the model has several for a prompt: ``single`` (its one answer), ``best`` (the
            highest predicted IoU) or ``oracle`` (the highest IoU with the right answer, which no user could pick: an
            upper limit). ``everything`` asks no prompts and has no rule.
        prompts: how they are drawn.
    """

    name: str
    rule: str = "single"
    prompts: PromptSettings = field(default_factory=PromptSettings)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UsageError(f"protocol must be one of {', '.join(NAMES)}, got {self.name!r}")
        if self.rule not in RULES:
            raise UsageError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if self.name == "everything" and self.rule != "single":
            raise UsageError(f"protocol 'everything' asks no prompts, so it has no rule {self.rule!r}; leave it out")

    def to_json(self) -> dict[str, Any]:
        """For the record: what a reader must know to compare two numbers."""
        return {"name": self.name} if self.name == "everything" else asdict(self)


@dataclass(frozen=True, eq=False)
class RightAnswers:
    """What would be right on a photo under one protocol, for one target behind one defence.

    Attributes:
        protocol: how it is scored.
        masks: for each prompt the right one, without the void; of ``everything``, all of them, in their order.
        manifest: the prompts; None for ``everything``.
        boundaries: the boundary regions of ``masks``, which every attack is compared with; None for ``everything``.
    """

    protocol: Protocol
    masks: Masks
    manifest: Manifest | None = None
    boundaries: Masks | None = None


def right_answers_for(
    segmenter: Segmenter,
    image: Image,
    asked: Mapping[Protocol, Manifest | None],
    *,
    everything: EverythingSettings | None = None,
) -> dict[str, RightAnswers]:
    """What would be right on a photo, by the names of the protocols.

    Under rule ``oracle`` and protocol ``clean``, right is the one of the target's masks on the original that is most
    like the mask that the prompt asks for.

    Args:
        segmenter: the target, behind its defence if there is one. Any: a black box needs no more than ``answer``.
        image: the original photo.
        asked: the photo's manifest for each protocol, None for ``everything``; each protocol once.
        everything: segment-everything settings (None: the segmenter's own).

    Raises:
        UsageError: a protocol twice, a protocol with prompts without a manifest, or one of another reference.
        CapabilityError: the segmenter cannot be asked so: no points, no boxes, or one mask only with rule ``oracle``.
        AnswerError: a black box failed.
    """
    _check(asked)
    # The targets of the oracle: what the prompts ask for, since there are no right answers yet.
    wanted = {p: RightAnswers(p, m.masks.select(m.asked), m) for p, m in asked.items() if m is not None}
    rules = {p.rule for p in wanted if p.name == "clean"}
    # Asked together as the attacked photo is, also where an annotation knows the answer: see ``ask``.
    own = _answers(segmenter, image, [right for p, right in wanted.items() if p.rule in rules])
    found = {}
    for protocol in asked:
        if protocol.name == "everything":
            found[protocol.name] = RightAnswers(protocol, segment_everything(segmenter, image, everything))
            continue
        right = wanted[protocol]
        masks = own[protocol.name] if protocol.name == "clean" else right.masks
        found[protocol.name] = RightAnswers(protocol, masks, right.manifest, boundary_of(masks))
    return found


def score(
    segmenter: Segmenter,
    right: Mapping[str, RightAnswers],
    scored: Image,
    *,
    everything: EverythingSettings | None = None,
) -> dict[str, dict[str, Any]]:
    """Show a photo to a target, and compare its answers with the right ones.

    The original is scored like any other photo, and asked for again, so that a target that does not repeat itself is
    seen. All prompts of one rule are asked in one call: most models look at the photo once for each call.

    Args:
        segmenter: as for :func:`right_answers_for`.
        right: what that gave; the same protocols together every time, since what is decoded together may change the
            last bits.
        scored: the attacked photo as it is on disk, or the original.
        everything: as for :func:`right_answers_for`.

    Returns:
        By protocol, as plain values. With prompts: ``prompts``, equally long lists ``kind`` (``point`` or ``box``),
        ``mask`` (its id in the manifest), ``area`` (pixels of the right answer), ``iou``, ``boundary_iou``,
        ``precision``, ``recall``, ``f1`` (in [0, 1]; None where an empty annotation asks for nothing), ``displacement``
        (in pixels; None where a mask is empty); ``empty``, the prompts whose right answer is nothing; and ``shown``:
        :func:`segrobust.evaluation.shown.shown_answers`. Of ``everything``:
        :func:`segrobust.evaluation.everything.compare_everything`.

    Raises:
        ValueError: a photo of another size than the original.
        CapabilityError, AnswerError: as for :func:`right_answers_for`.
    """
    if bad := [r for r in right.values() if tuple(r.masks.size) != scored.size]:
        raise ValueError(f"the original has size {bad[0].masks.size}, the scored photo {scored.size}")
    answers = _answers(segmenter, scored, [each for each in right.values() if each.manifest is not None])
    return {
        name: compare_everything(each.masks, segment_everything(segmenter, scored, everything))
        if each.manifest is None
        else _item(each, each.manifest, answers[name])
        for name, each in right.items()
    }


def _check(asked: Mapping[Protocol, Manifest | None]) -> None:
    names = [protocol.name for protocol in asked]
    if len(set(names)) != len(names):
        raise UsageError(f"a protocol can be scored once at a time, got {', '.join(names)}")
    for protocol, manifest in asked.items():
        needed = None if protocol.name == "everything" else protocol.name
        given = manifest.reference if manifest else None
        if given != needed:
            raise UsageError(f"protocol {protocol.name!r} needs a manifest of {needed!r}, got one of {given!r}")


def _answers(segmenter: Segmenter, image: Image, right: list[RightAnswers]) -> dict[str, Masks]:
    """The target's answers to the prompts of several protocols, without the void."""
    answers: dict[str, Masks] = {}
    for rule in dict.fromkeys(each.protocol.rule for each in right):
        mine = {each.protocol.name: each for each in right if each.protocol.rule == rule}
        manifests = {name: each.manifest for name, each in mine.items() if each.manifest}
        prompts = {name: manifest.prompts for name, manifest in manifests.items()}
        if rule == "oracle":
            candidates = ask_all(segmenter, image, prompts)
        else:
            candidates = {name: [found] for name, found in ask(segmenter, image, prompts, rule).items()}
        for name, manifest in manifests.items():
            known = [without(masks, manifest.void) for masks in candidates[name]]
            answers[name] = _most_alike(mine[name].masks, known) if rule == "oracle" else known[0]
    return answers


def _most_alike(wanted: Masks, candidates: list[Masks]) -> Masks:
    """For each prompt the candidate with the highest IoU, the first of equals."""
    ious = np.stack([prompt_ious(wanted, found, both_empty=1.0) for found in candidates])
    which = ious.argmax(axis=0)
    return Masks.from_rles(
        wanted.size,
        [candidates[j].rles[i] for i, j in enumerate(which)],
        predicted_iou=[candidates[j].predicted_iou[i] for i, j in enumerate(which)],
    )


def _item(right: RightAnswers, manifest: Manifest, answers: Masks) -> dict[str, Any]:
    both_empty = 1.0 if right.protocol.name == "clean" else None
    scores = overlaps(right.masks, answers, both_empty=both_empty, boundaries=right.boundaries)
    columns: Mapping[str, Floats] = vars(scores)
    return {
        "prompts": {
            "kind": ["point"] * len(manifest.prompts.points) + ["box"] * len(manifest.prompts.boxes),
            "mask": manifest.asked.tolist(),
            "area": right.masks.areas.tolist(),
            **{name: [None if np.isnan(v) else float(v) for v in column] for name, column in columns.items()},
        },
        "empty": int(np.count_nonzero(right.masks.areas == 0)),
        "shown": shown_answers(manifest, answers),
    }
