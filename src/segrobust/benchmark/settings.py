"""What every kind of run is told: photos, attacks, budget, prompts, and how models are loaded; and how it is read."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeGuard, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails

from segrobust.attacks.recipes import RECIPES, Recipe, make_recipe
from segrobust.attacks.recipes.table import parameters_of
from segrobust.attacks.region import parse_region
from segrobust.benchmark.parameters import check_kind, plain_value
from segrobust.errors import SegrobustError, UsageError
from segrobust.models.options import parse_memory
from segrobust.types import Budget

BASELINE = "noise"
S = TypeVar("S", bound="Settings")


class PromptPlan(BaseModel):
    """How prompts are drawn; see ``evaluation.evaluate.PromptSettings``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    masks: int = Field(default=10, ge=1)
    points: int = Field(default=5, ge=0)
    boxes: int = Field(default=3, ge=0)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.points + self.boxes == 0:
            raise ValueError("points and boxes are both 0: nothing would be asked")
        return self


class Settings(BaseModel):
    """Attacks on photos, whatever the model; ``RunConfig`` says which.

    Attributes:
        photos: files and folders.
        attacks: recipe names; the first is the headline. The noise baseline is always run and need not be named.
        parameters: changed parameters of all recipes that have them, e.g. ``steps: 10``. What makes a control a
            control (the weight of ``rga-untargeted``) is not changed.
        protocol: ``strict`` or ``paper``.
        eps: the budget, written ``8/255``.
        within: the only region that may be changed, see ``attacks.region.parse_region`` (None: everywhere).
        seed: of every random number.
        device: see ``models.load``.
        dtype: see ``models.load``.
        autocast: see ``models.load``.
        max_memory: see ``models.load``.
        compile: see ``models.load``.
        points_per_side: of segment everything (None: the model's own).
        prompts: how prompts are drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    photos: tuple[str, ...] = Field(min_length=1)
    attacks: tuple[str, ...] = ("rga",)
    parameters: dict[str, float | int | str] = {}
    protocol: Literal["strict", "paper"] = "strict"
    eps: str = "8/255"
    within: str | None = None
    seed: int = 0
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    autocast: Literal["bfloat16", "float16"] | None = None
    max_memory: str | None = None
    compile: bool = False
    points_per_side: int | None = Field(default=None, ge=1, le=256)
    prompts: PromptPlan = PromptPlan()

    @field_validator("eps", mode="before")
    @classmethod
    def _budget(cls, value: object) -> str:
        return str(as_value_error(partial(Budget.parse, str(value))))  # str: YAML reads 0.03 as a number

    @field_validator("within")
    @classmethod
    def _region(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            as_value_error(partial(parse_region, value))
            if info.data.get("protocol") == "paper":
                raise ValueError("protocol paper knows no region; leave out within, or use protocol strict")
        return value

    @field_validator("max_memory", mode="before")
    @classmethod
    def _memory(cls, value: object) -> str | None:
        if value is not None:
            as_value_error(partial(parse_memory, str(value)))
        return None if value is None else str(value)  # str: YAML reads 6000000000 as a number

    @field_validator("attacks")
    @classmethod
    def _attacks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            as_value_error(partial(make_recipe, name))
        return tuple(dict.fromkeys(name for name in value if name != BASELINE)) or (BASELINE,)

    @field_validator("parameters", mode="before")
    @classmethod
    def _fractions(cls, value: object) -> object:
        return {k: plain_value(v) if isinstance(v, str) else v for k, v in value.items()} if _is_dict(value) else value

    @model_validator(mode="after")
    def _parameters(self) -> Self:
        for key, value in self.parameters.items():
            takers = [name for name in self.attacks if key in _free_parameters(name)]
            if takers:
                check_kind(key, value, _free_parameters(takers[0])[key])
            elif key in _fixed_parameters(self.attacks[0]):
                raise ValueError(f"attack {self.attacks[0]!r} has its own {key}, which cannot be changed")
            else:
                as_value_error(partial(make_recipe, self.attacks[0], **{key: value}))
        for name in self.attacks:
            as_value_error(partial(self._check_recipe, name))
        return self

    @classmethod
    def nested(cls) -> dict[str, type[BaseModel]]:
        """The settings that are a mapping of settings themselves, for the names in error messages."""
        return {"prompts": PromptPlan}

    def recipe(self, name: str) -> Recipe:
        """The recipe of a row, with those of the changed parameters that it has."""
        free = _free_parameters(name)
        return make_recipe(name, **{key: value for key, value in self.parameters.items() if key in free})

    def _check_recipe(self, name: str) -> None:
        self.recipe(name).require_ready()

    def rows(self) -> tuple[str, ...]:
        """The rows of the table: the clean photo, the noise baseline, then the attacks."""
        return ("clean", BASELINE, *(a for a in self.attacks if a != BASELINE))

    def loading(self) -> dict[str, Any]:
        """How models are loaded: the keyword arguments of ``models.load``."""
        keys = ("device", "dtype", "autocast", "max_memory", "compile")
        return {key: getattr(self, key) for key in keys}


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _fixed_parameters(name: str) -> set[str]:
    """What the recipe is defined by: a control with another weight would not be that control."""
    return set(getattr(RECIPES[name], "keywords", {})) | {"name"}


def _free_parameters(name: str) -> dict[str, Any]:
    """The parameters that may be changed, with their defaults."""
    fixed = _fixed_parameters(name)
    return {key: default for key, default in parameters_of(name).items() if key not in fixed}


def as_value_error(check: Callable[[], object]) -> object:
    """Let pydantic report our own errors with the place in the file."""
    try:
        return check()
    except SegrobustError as error:
        raise ValueError(str(error)) from None


def parse_settings(kind: type[S], values: dict[str, Any], where: str) -> S:
    """Validate settings.

    Raises:
        UsageError: an unknown key (with the nearest name) or a bad value, on one line.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{where}: {_explain(kind, error.errors()[0])}") from None


def _explain(kind: type[Settings], error: ErrorDetails) -> str:
    """What pydantic found, on one line: which setting, what is wrong, what was received."""
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        inner = kind.nested().get(str(error["loc"][0])) if len(error["loc"]) > 1 else None
        known = (inner or kind).model_fields
        close = get_close_matches(path.split(".")[-1], known, n=1, cutoff=0.4)
        return f"unknown key {path!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    reason = " ".join(error["msg"].removeprefix("Value error, ").split())
    if error["type"] not in ("value_error", "missing"):
        reason += f", got {str(error['input'])[:60]!r}"
    return f"{path}: {reason}" if path else reason


def read_values(kind: type[Settings], path: Path) -> dict[str, Any]:
    """The settings that a YAML file holds; it may lack the photos, for those of the command line.

    Raises:
        UsageError: not readable, not YAML, or settings that are unknown or wrong.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UsageError(f"cannot read {path}: {reason}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold a mapping of settings, got {type(values).__name__}")
    settings = parse_settings(kind, {"photos": ["-"], **values}, str(path))
    return {key: value for key, value in settings.model_dump(exclude_unset=True).items() if key in values}


def dump_settings(settings: Settings, comment: str) -> str:
    """The YAML text of settings under a line of comment; the same text for the same settings."""
    return f"# {comment}\n" + yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def differing_keys(a: Settings, b: Settings) -> list[str]:
    """The names of the settings in which two configurations differ."""
    left, right = a.model_dump(), b.model_dump()
    return [key for key in left if left[key] != right.get(key)]
