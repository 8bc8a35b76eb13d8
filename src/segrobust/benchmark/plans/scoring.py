"""The items of a target: a saved photo is shown to it, and its answers are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from segrobust.benchmark.plans.bench import Bench, halving
from segrobust.benchmark.plans.parts import ProtocolEntry
from segrobust.benchmark.rows import NO_DEFENCE
from segrobust.defences.defended import Defended, defend
from segrobust.errors import NoMasksError
from segrobust.evaluation.evaluate import PromptSettings
from segrobust.evaluation.manifest import manifest_from_json
from segrobust.evaluation.protocols import Protocol, RightAnswers, right_answers_for
from segrobust.evaluation.protocols import score as compare
from segrobust.io.datasets.base import Sample
from segrobust.models.base import EverythingSettings, Segmenter
from segrobust.models.once import embedded_once
from segrobust.types import Image

Record = dict[str, Any]
Outcome = Record | Exception
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Original:
    """A photo as a target, behind a defence, sees it before the attack.

    Attributes:
        image: the photo.
        right: what is right there, by protocol.
        wrong: why a protocol cannot be scored, by protocol.
    """

    image: Image
    right: Mapping[str, RightAnswers]
    wrong: Mapping[str, str]


def protocol_of(entry: ProtocolEntry) -> Protocol:
    """A plan's protocol as it is scored."""
    return Protocol(entry.protocol, entry.rule, prompt_settings(entry))


def prompt_settings(entry: ProtocolEntry) -> PromptSettings:
    """How a plan's prompts are drawn."""
    return PromptSettings(entry.prompts.masks, entry.prompts.points, entry.prompts.boxes)


def behind(bench: Bench, model: Segmenter, defence: str) -> Segmenter:
    """A target behind a defence."""
    return model if defence == NO_DEFENCE else defend(model, defence, bench.plan.seed)


def open_original(bench: Bench, model: Segmenter, sample: Sample, photo: Record) -> Original:
    """Ask a target for its own answers on the original.

    Raises:
        PhotoError: the photo is not the one that was prepared.
    """
    image = bench.photo(sample, photo["sha256"])
    asked = photo["prompts"]["references"]
    wrong = {name: value["error"] for name, value in asked.items() if value and "error" in value}
    manifests = {
        protocol_of(entry): manifest_from_json(asked[entry.protocol]) if asked[entry.protocol] else None
        for entry in bench.plan.protocols
        if entry.protocol in asked and entry.protocol not in wrong
    }
    right = _fitting(bench, model, lambda how: right_answers_for(model, image, manifests, everything=how))
    return Original(image, right, wrong)


def score(bench: Bench, model: Segmenter, original: Original, image: Image) -> dict[str, Outcome]:
    """Show a photo to a target: by protocol, what was measured, or why nothing could be."""
    found: dict[str, Outcome] = {name: NoMasksError(reason) for name, reason in original.wrong.items()}
    found |= _fitting(bench, model, lambda how: compare(model, original.right, image, everything=how))
    return found


def _fitting(bench: Bench, model: Segmenter, work: Callable[[EverythingSettings], T]) -> T:
    """Do work with as many prompts at a time as fit into memory; all protocols share a photo's embedding.

    Not longer than that: a target that does not repeat itself must be seen, also when it embeds a photo again.
    """
    settings = bench.everything(model)
    embeds = model.inner if isinstance(model, Defended) else model

    def once(batch: int | None) -> T:
        with embedded_once(embeds):
            return work(settings if batch is None else replace(settings, points_per_batch=batch))

    return halving(once, lambda: settings.points_per_batch, [])
