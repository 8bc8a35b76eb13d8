"""What a plan is: everything that decides the numbers of a benchmark, in one YAML file."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from segrobust.benchmark.plans.parts import (
    AttackEntry,
    DataSource,
    DefenceEntry,
    ModelLoading,
    Part,
    PlaceError,
    ProtocolEntry,
    epsilon,
    ours,
)
from segrobust.benchmark.rows import NO_DEFENCE
from segrobust.defences.names import make_defence
from segrobust.models.options import parse_memory


class Plan(Part):
    """Attacks made on some models, shown to others, with and without defences, on several data sets.

    Attributes:
        surrogates: white boxes that the attacks are made on, unless they name their own; see ``models.load``.
        targets: models that score the photos; a black box will do.
        attacks: see ``AttackEntry``. The original photo, uniform noise and noise of random signs are always there.
        epsilons: budgets, written ``8/255``; the first is the headline and appears in no label.
        data: see ``DataSource``.
        protocols: see ``ProtocolEntry``; each at most once.
        defences: see ``DefenceEntry``; ``none`` is always there.
        prompts_from: the model whose masks on the original photo the prompts of protocol *clean* ask for, a surrogate
            or a target (None: the first surrogate). All targets answer the same prompts.
        space: where the perturbation lives: ``strict`` (the original pixels) or ``paper`` (the model's resolution).
        seed: of every random number.
        device: see ``models.load``.
        dtype: see ``models.load``.
        autocast: see ``models.load``.
        max_memory: see ``models.load``.
        compile: see ``models.load``.
        load: by model, how it is loaded where that differs from the rest of the plan.
        points_per_side: of segment everything (None: each model's own).
    """

    surrogates: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    attacks: tuple[AttackEntry, ...] = (AttackEntry(attack="rga"),)
    epsilons: tuple[str, ...] = Field(default=("8/255",), min_length=1)
    data: tuple[DataSource, ...] = Field(min_length=1)
    protocols: tuple[ProtocolEntry, ...] = Field(
        default=(ProtocolEntry(protocol="annotation"), ProtocolEntry(protocol="clean")), min_length=1
    )
    defences: tuple[DefenceEntry, ...] = (DefenceEntry(defence=NO_DEFENCE),)
    prompts_from: str | None = None
    space: Literal["strict", "paper"] = "strict"
    seed: int = 0
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    autocast: Literal["bfloat16", "float16"] | None = None
    max_memory: str | None = None
    compile: bool = False
    load: dict[str, ModelLoading] = Field(default_factory=dict)
    points_per_side: int | None = Field(default=None, ge=1, le=256)

    @field_validator("surrogates", "targets")
    @classmethod
    def _models_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("epsilons", mode="before")
    @classmethod
    def _epsilons(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return tuple(dict.fromkeys(epsilon(one) for one in value))

    @field_validator("max_memory", mode="before")
    @classmethod
    def _memory(cls, value: object) -> str | None:
        if value is not None:
            ours(partial(parse_memory, str(value)))
        return None if value is None else str(value)  # str: YAML reads 6000000000 as a number

    @field_validator("protocols")
    @classmethod
    def _protocols_once(cls, value: tuple[ProtocolEntry, ...]) -> tuple[ProtocolEntry, ...]:
        _once([entry.protocol for entry in value], "protocols", "leave one out")
        return value

    @field_validator("defences")
    @classmethod
    def _defences(cls, value: tuple[DefenceEntry, ...]) -> tuple[DefenceEntry, ...]:
        _once([entry.defence for entry in value], "defences", "leave one out")
        for number, entry in enumerate(value):
            if entry.defence != NO_DEFENCE:
                ours(partial(make_defence, entry.defence), number, "defence")
            elif entry.adaptive:
                raise PlaceError("no defence is nothing to adapt to", number, "adaptive")
        none = DefenceEntry(defence=NO_DEFENCE)
        return (none, *(entry for entry in value if entry != none))

    @model_validator(mode="after")
    def _together(self) -> Self:
        from segrobust.benchmark.plans.variants import variants

        if self.prompt_source not in self.models:
            known = ", ".join(self.models)
            message = f"prompts_from must be one of the surrogates and targets ({known}), got {self.prompts_from!r}"
            raise PlaceError(message, "prompts_from")
        if self.space == "paper" and self.adaptive_defences:
            first = self.adaptive_defences[0]
            message = (
                f"space 'paper' begins behind {first!r}, which is to be adapted to; use 'strict', or 'adaptive: false'"
            )
            raise PlaceError(message, "space")
        for name in self.load:
            if name not in self.models:
                message = f"load names {name!r}, which is not a surrogate or target ({', '.join(self.models)})"
                raise PlaceError(message, "load", name, key=True)
        variants(self)
        return self

    @property
    def prompt_source(self) -> str:
        """The model that the prompts of protocol *clean* come from."""
        return self.prompts_from or self.surrogates[0]

    @property
    def roles(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """What is asked of which model."""
        return self.white_boxes, self.targets, self.prompt_source

    @property
    def white_boxes(self) -> tuple[str, ...]:
        """The plan's surrogates, then those of single attacks."""
        own = (name for entry in self.attacks for name in entry.surrogates or ())
        return tuple(dict.fromkeys((*self.surrogates, *own)))

    @property
    def models(self) -> tuple[str, ...]:
        """Every model, once."""
        return tuple(dict.fromkeys((*self.white_boxes, *self.targets)))

    @property
    def adaptive_defences(self) -> tuple[str, ...]:
        """The defences that attacks are adapted to."""
        return tuple(entry.defence for entry in self.defences if entry.adaptive)

    def protocol(self, name: str) -> ProtocolEntry | None:
        """The entry of a protocol, if the plan has it."""
        return next((entry for entry in self.protocols if entry.protocol == name), None)

    def loading(self, model: str) -> dict[str, Any]:
        """How a model is loaded: the keyword arguments of ``models.load``."""
        keys = ("device", "dtype", "autocast", "max_memory", "compile")
        changed = self.load[model].model_dump() if model in self.load else {}
        return {key: getattr(self, key) for key in keys} | changed


def _once(names: Sequence[str], what: str, advice: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            message = f"{count} {what} are called {name!r}; {advice}"
            raise PlaceError(message, [i for i, other in enumerate(names) if other == name][1])
