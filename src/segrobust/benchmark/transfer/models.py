"""The models of a plan: each is loaded once before anything is attacked, so that hours are not spent for nothing."""

from dataclasses import asdict, dataclass
from typing import Any

from segrobust.benchmark.transfer.plan import TransferPlan
from segrobust.errors import CapabilityError
from segrobust.models import entries, load
from segrobust.models.base import Segmenter, require_white_box


@dataclass(frozen=True)
class ModelFacts:
    """What a table says about a model.

    Attributes:
        sha256: of the weights file; empty if not known.
        licence: of the weights; None if not known.
        gradient: it is a white box.
        everything: its settings of segment everything; those that find everything first answer prompts with them.
        loaded: how it was loaded, where that differs from the rest of the plan.
    """

    sha256: str
    licence: str | None
    gradient: bool
    everything: dict[str, Any]
    loaded: dict[str, Any]


def check_models(plan: TransferPlan) -> dict[str, ModelFacts]:
    """Load every model of a plan, one at a time.

    Raises:
        ModelError: one cannot be loaded.
        CapabilityError: a surrogate gives no gradients, or a target takes no prompts of a kind that the plan asks.
    """
    return {name: _facts(plan, name) for name in plan.models}


def load_model(plan: TransferPlan, name: str) -> Segmenter:
    """A model of the plan, loaded as the plan says."""
    return load(name, **{**plan.loading(), **plan.changed(name)})


def _facts(plan: TransferPlan, name: str) -> ModelFacts:
    model = load_model(plan, name)
    if name in plan.surrogates:
        require_white_box(model)
    for kind in ("points", "boxes"):
        count = getattr(plan.prompts, kind)
        if count and not getattr(model.capabilities, kind):
            raise CapabilityError(
                f"model {name!r} takes no {kind}, and the plan asks for {count} a mask; all targets answer the same "
                f"prompts: set 'prompts: {{{kind}: 0}}' or leave the model out"
            )
    licence = next((entry.licence for entry in entries() if entry.name == name), None)
    return ModelFacts(
        sha256=str(getattr(model, "fingerprint", "")),
        licence=licence,
        gradient=model.capabilities.gradient,
        everything=asdict(model.everything),
        loaded=plan.changed(name),
    )


def facts_to_json(facts: dict[str, ModelFacts]) -> dict[str, Any]:
    """Plain values, by model."""
    return {name: asdict(fact) for name, fact in facts.items()}


def same_model(facts: dict[str, ModelFacts], a: str, b: str) -> bool:
    """Whether two names are one model: the attack on one was made with the gradients of the other."""
    return a == b or (facts[a].sha256 == facts[b].sha256 != "")
