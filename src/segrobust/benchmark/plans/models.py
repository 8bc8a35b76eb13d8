"""The models of a plan: each is loaded once before anything is computed, so that hours are not spent for nothing."""

from dataclasses import asdict, replace
from typing import Any

from segrobust.benchmark.plans.plan import Plan
from segrobust.errors import CapabilityError, UsageError
from segrobust.models import load
from segrobust.models.base import EverythingSettings, Segmenter, require_multimask, require_white_box
from segrobust.models.ensemble import Ensemble, made_on
from segrobust.models.registry import provenance

Facts = dict[str, Any]


def load_model(plan: Plan, name: str) -> Segmenter:
    """A model of the plan, loaded as the plan says."""
    return load(name, **plan.loading(name))


def everything_of(plan: Plan, model: Segmenter) -> EverythingSettings:
    """How a model segments everything in this plan."""
    if plan.points_per_side is None:
        return model.everything
    return replace(model.everything, points_per_side=plan.points_per_side)


def check_model(plan: Plan, name: str, model: Segmenter) -> Facts:
    """What tables say about a model.

    Raises:
        CapabilityError: a surrogate gives no gradients, or a target cannot do what the plan asks.
        MissingError: a memory limit that no gradient fits into.
    """
    if name in plan.white_boxes:
        white = require_white_box(model)
        if plan.loading(name)["max_memory"] is not None:
            white.views_at_a_time(1)  # a limit that nothing fits into is told now
    if name == plan.prompt_source and plan.protocol("clean") and not model.capabilities.everything:
        raise CapabilityError(f"model {name!r} cannot segment everything: let prompts_from name one that can")
    if name in plan.targets:
        if isinstance(model, Ensemble):
            raise CapabilityError(f"the ensemble {name!r} is attacked, not scored: name its members as targets")
        _require_answers(plan, name, model)
    return {
        "sha256": str(getattr(model, "fingerprint", "")),
        **provenance(name),
        "gradient": model.capabilities.gradient,
        "everything": asdict(everything_of(plan, model)),
        "loaded": plan.load[name].model_dump() if name in plan.load else {},
        **_members(model),
    }


def _members(model: Segmenter) -> Facts:
    """Of an ensemble: its rule, and the weights and licence of every member."""
    if not isinstance(model, Ensemble):
        return {}
    about = made_on(model)["ensemble"]
    return {"rule": about["rule"], "members": [member | provenance(member["model"]) for member in about["members"]]}


def require_same(name: str, before: Facts, now: Facts) -> None:
    """Refuse a model that is not the one the run was begun with.

    Raises:
        UsageError: other weights or settings; half of the numbers would be of one kind and half of another.
    """
    for key, value in before.items():
        if now[key] != value:
            raise UsageError(
                f"model {name!r} is not the one this run was begun with ({key} was {value!r}, is {now[key]!r}); "
                "choose another folder with -o"
            )


def _require_answers(plan: Plan, name: str, model: Segmenter) -> None:
    for entry in plan.protocols:
        if entry.protocol == "everything":
            if not model.capabilities.everything:
                raise CapabilityError(f"model {name!r} cannot segment everything: leave it or the protocol out")
            continue
        if entry.rule == "oracle":
            require_multimask(model)
        for kind in ("points", "boxes"):
            count = getattr(entry.prompts, kind)
            if count and not getattr(model.capabilities, kind):
                raise CapabilityError(
                    f"model {name!r} takes no {kind}, and protocol {entry.protocol!r} asks for {count} a mask; all "
                    f"targets answer the same prompts: set 'prompts: {{{kind}: 0}}' or leave the model out"
                )
