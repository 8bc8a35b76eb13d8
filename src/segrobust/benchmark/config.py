"""What a run is: everything that decides its numbers, in one YAML file that can be run again."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from segrobust.attacks.recipes import RECIPES, make_recipe
from segrobust.errors import SegrobustError, UsageError
from segrobust.types import Budget

BASELINE = "noise"
CONTROLS = ("rga-untargeted", "rga-random-cells")


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


class RunConfig(BaseModel):
    """A run of attacks on photos.

    Attributes:
        photos: files and folders.
        model: a name or a folder, see ``models.load``.
        attacks: recipe names; the first is the headline. The noise baseline is always run and need not be named.
        parameters: changed parameters of all recipes that have them, e.g. ``steps: 10``.
        protocol: ``strict`` or ``paper``.
        eps: the budget, written ``8/255``.
        seed: of every random number.
        device: see ``models.load``.
        dtype: see ``models.load``.
        points_per_side: of segment everything (None: the model's own).
        prompts: how prompts are drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    photos: tuple[str, ...] = Field(min_length=1)
    model: str = "nano"
    attacks: tuple[str, ...] = ("rga",)
    parameters: dict[str, float | int | str] = {}
    protocol: Literal["strict", "paper"] = "strict"
    eps: str = "8/255"
    seed: int = 0
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    points_per_side: int | None = Field(default=None, ge=1, le=256)
    prompts: PromptPlan = PromptPlan()

    @field_validator("eps")
    @classmethod
    def _budget(cls, value: str) -> str:
        return str(_as_value_error(partial(Budget.parse, value)))

    @field_validator("attacks")
    @classmethod
    def _attacks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            _as_value_error(partial(make_recipe, name))
        return tuple(dict.fromkeys(name for name in value if name != BASELINE)) or (BASELINE,)

    @model_validator(mode="after")
    def _parameters(self) -> Self:
        for name in self.attacks:
            if name != BASELINE:
                _as_value_error(partial(make_recipe, name, **self.parameters))
        return self

    def rows(self) -> tuple[str, ...]:
        """The rows of the table: the clean photo, the noise baseline, then the attacks."""
        return ("clean", BASELINE, *(a for a in self.attacks if a != BASELINE))


def _as_value_error(check: Callable[[], object]) -> object:
    """Let pydantic report our own errors with the place in the file."""
    try:
        return check()
    except SegrobustError as error:
        raise ValueError(str(error)) from None


def parse_config(values: dict[str, Any], where: str = "settings") -> RunConfig:
    """Validate settings.

    Raises:
        UsageError: an unknown key (with the nearest name) or a bad value, on one line.
    """
    try:
        return RunConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = PromptPlan.model_fields if path.startswith("prompts.") else RunConfig.model_fields
            close = get_close_matches(path.split(".")[-1], known, n=1, cutoff=0.4)
            advice = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{where}: unknown key {path!r}{advice}") from None
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: {path + ': ' if path else ''}{reason}") from None


def read_config(path: Path) -> RunConfig:
    """Read ``config.yaml``.

    Raises:
        UsageError: not readable, not YAML, or not a valid configuration.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold a mapping of settings, got {type(values).__name__}")
    return parse_config(values, str(path))


def dump_config(config: RunConfig) -> str:
    """The YAML text of a configuration; the same text for the same configuration."""
    return "# segrobust attack -c THIS -o NEW_FOLDER\n" + yaml.safe_dump(
        config.model_dump(mode="json"), sort_keys=False
    )


def differing_keys(a: RunConfig, b: RunConfig) -> list[str]:
    """The names of the settings in which two configurations differ."""
    left, right = a.model_dump(), b.model_dump()
    return [key for key in left if left[key] != right[key]]


__all__ = [
    "BASELINE",
    "CONTROLS",
    "RECIPES",
    "PromptPlan",
    "RunConfig",
    "differing_keys",
    "dump_config",
    "parse_config",
    "read_config",
]
