"""The parts of a plan: data, attacks, protocols, defences; each checked when it is read."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from itertools import product
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from segrobust.attacks.recipes import RECIPES, make_recipe
from segrobust.attacks.recipes.table import parameters_of
from segrobust.benchmark.parameters import check_kind, plain_value
from segrobust.benchmark.rows import NOISE, SIGN_NOISE
from segrobust.benchmark.settings import PromptPlan
from segrobust.errors import SegrobustError
from segrobust.io.datasets import AUTO, KINDS, parse_limit, parse_shard
from segrobust.types import Budget

CONTROLS = (NOISE, SIGN_NOISE)
Scalar = float | int | str


class PlaceError(ValueError):
    """A value that is wrong, and where it is inside the part that is checked.

    Attributes:
        place: keys and positions that lead to it.
        key: what is wrong is the key there, not its value.
    """

    def __init__(self, message: str, *place: str | int, key: bool = False) -> None:
        super().__init__(message)
        self.place, self.key = place, key


class Part(BaseModel):
    """Frozen, and nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def ours(check: Callable[[], object], *place: str | int, key: bool = False) -> Any:
    """What a check gives; why it refused becomes an error that pydantic reports, with its place.

    Raises:
        PlaceError: the check refused.
    """
    try:
        return check()
    except (SegrobustError, ValueError) as error:
        raise PlaceError(str(error), *place, key=key) from None


def epsilon(value: object) -> str:
    """A budget as it is written in tables; refuses one that leaves no level of an 8-bit pixel."""
    budget: Budget = ours(partial(Budget.parse, str(value)))  # str: YAML reads 0.03 as a number
    if not budget.levels:
        raise PlaceError(f"epsilon {budget} is less than one level of an 8-bit pixel; write it like 8/255")
    return str(budget)


class DataSource(Part):
    """Photos; see ``io.datasets.open_dataset``.

    Attributes:
        kind: of the data set (``segrobust ls datasets``), or ``auto``: what the folder looks like.
        path: a folder or archive; ``${NAME}`` in it is to be given by ``--data`` or the environment.
        name: in tables (None: the kind, or the folder of photos without annotations).
        limit: a number of photos, or a share of them.
        shard: ``i/n``: one of n parts.
        split: where the data set has some.
    """

    kind: str = "auto"
    path: str = Field(min_length=1)
    name: str | None = Field(default=None, pattern=r"^[\w][\w.-]*$")
    limit: int | float | str | None = None
    shard: str | None = None
    split: str | None = None

    @field_validator("kind")
    @classmethod
    def _kind(cls, value: str) -> str:
        if value not in (*KINDS, AUTO):
            close = get_close_matches(value, KINDS, n=1, cutoff=0.4)
            advice = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"unknown kind of data {value!r}{advice} (see 'segrobust ls datasets')")
        return value

    @field_validator("limit")
    @classmethod
    def _limit(cls, value: Scalar | None) -> Scalar | None:
        if value is not None:
            ours(partial(parse_limit, value))
        return value

    @field_validator("shard")
    @classmethod
    def _shard(cls, value: str | None) -> str | None:
        if value is not None:
            ours(partial(parse_shard, value))
        return value


class AttackEntry(Part):
    """An attack, with changed parameters, and swept ones.

    In YAML the parameters stand beside the other keys: ``{attack: rga, beta: 0, sweep: {steps: [5, 10]}}``; a name
    alone is an entry too.

    Attributes:
        attack: a recipe (``segrobust ls attacks``).
        label: in tables (None: the recipe, with its changed parameters).
        parameters: changed ones.
        sweep: values of a parameter, each of which makes an attack; of several parameters, all combinations.
        epsilons: budgets (None: those of the plan).
        surrogates: white boxes that it is made on (None: those of the plan).
    """

    attack: str
    label: str | None = Field(default=None, min_length=1, max_length=80, pattern=r"^[^\[\]\n]+$")
    parameters: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    epsilons: tuple[str, ...] | None = Field(default=None, min_length=1)
    surrogates: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"attack": value}
        if not isinstance(value, Mapping):
            return value
        known = {key: inner for key, inner in value.items() if key in cls.model_fields}
        inner = known.get("parameters", {})
        beside = {str(key): inner for key, inner in value.items() if key not in cls.model_fields}
        return {**known, "parameters": {**inner, **beside} if isinstance(inner, Mapping) else inner}

    @field_validator("epsilons", mode="before")
    @classmethod
    def _epsilons(cls, value: Any) -> Any:
        return tuple(epsilon(one) for one in value) if isinstance(value, (list, tuple)) else value

    @field_validator("surrogates")
    @classmethod
    def _surrogates_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return value and tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _makes_attacks(self) -> Self:
        if self.attack in CONTROLS:
            raise PlaceError(f"{self.attack!r} is in every table already and need not be named", "attack")
        ours(partial(make_recipe, self.attack), "attack")
        for key, value in self.parameters.items():
            self._check(key, [value], key)
        for key, values in self.sweep.items():
            if not values:
                raise PlaceError(f"sweep of {key!r} holds no values", "sweep", key)
            if key in self.parameters:
                raise PlaceError(f"{key!r} is both set and swept", "sweep", key, key=True)
            self._check(key, values, "sweep", key)
        for changed in self.combinations():
            ours(partial(make_recipe, self.attack, **changed))
        return self

    def _check(self, key: str, values: Any, *place: str | int) -> None:
        recipe = RECIPES[self.attack]
        allowed = parameters_of(self.attack)
        if key in getattr(recipe, "keywords", {}):
            raise PlaceError(f"attack {self.attack!r} has its own {key}, which cannot be changed", *place, key=True)
        for number, value in enumerate(values):
            if key not in allowed:
                ours(partial(make_recipe, self.attack, **{"" if key == "name" else key: value}), *place, key=True)
            within = (*place, number) if place[0] == "sweep" else place
            ours(partial(check_kind, key, plain(value), allowed[key]), *within)

    def combinations(self) -> list[dict[str, Any]]:
        """The changed parameters of each attack that the entry stands for."""
        fixed = {key: plain(value) for key, value in self.parameters.items()}
        swept = [[(key, plain(value)) for value in values] for key, values in self.sweep.items()]
        return [fixed | dict(chosen) for chosen in product(*swept)]


def plain(value: Any) -> Any:
    """A parameter's value as it is meant: ``2/255`` is a number."""
    return plain_value(value) if isinstance(value, str) else value


class ProtocolEntry(Part):
    """What the answers are compared with, and what is asked.

    Attributes:
        protocol: ``annotation`` (annotated masks), ``clean`` (the target's own answers on the original) or
            ``everything`` (segment everything, against what it finds on the original).
        rule: which of a prompt's masks counts, see ``evaluation.protocols``.
        prompts: how they are drawn.
    """

    protocol: Literal["annotation", "clean", "everything"]
    rule: Literal["single", "best", "oracle"] = "single"
    prompts: PromptPlan = PromptPlan()

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"protocol": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _meant(self) -> Self:
        if self.protocol == "everything" and (self.rule != "single" or self.prompts != PromptPlan()):
            raise PlaceError("protocol 'everything' asks no prompts: it takes neither rule nor prompts")
        return self


class DefenceEntry(Part):
    """A defence before every target.

    Attributes:
        defence: its name, with its parameters, e.g. ``jpeg-q75``; ``none`` is no defence.
        adaptive: the attacks are also made with the defence in the gradient.
    """

    defence: str
    adaptive: bool = False

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"defence": value} if isinstance(value, str) else value


class ModelLoading(Part):
    """How one model is loaded, where it differs from the plan; see ``models.load``. What is not set is the plan's."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    autocast: Literal["bfloat16", "float16"] | None = None
    max_memory: str | None = None
    compile: bool = False
    checkpoint: str | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The rest is the plan's, also when the plan is read back."""
        return {key: value for key, value in serialize(self).items() if key in self.model_fields_set}
