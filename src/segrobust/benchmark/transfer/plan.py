"""What a transfer experiment is: which models are attacked, and which are asked what is left."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
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

from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.settings import Settings, dump_settings, parse_settings, read_values
from segrobust.errors import UsageError


class ModelLoading(BaseModel):
    """How one model is loaded, where it differs from the plan; see ``models.load``. What is not set is the plan's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    autocast: Literal["bfloat16", "float16"] | None = None
    max_memory: str | None = None
    compile: bool = False
    checkpoint: str | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The rest is the plan's, also when the plan is read back."""
        return {key: value for key, value in serialize(self).items() if key in self.model_fields_set}


class TransferPlan(Settings):
    """Attacks on every surrogate, and the saved photos scored on every target.

    Attributes:
        surrogates: white boxes that are attacked, each in a run of its own; see ``models.load``.
        targets: models that score the photos; a black box will do.
        prompts_from: the surrogate whose masks on the original photo the prompts of the reference *clean* ask for
            (None: the first). All targets answer the same prompts.
        load: by model, how it is loaded where that differs from the rest of the plan.
    """

    surrogates: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    prompts_from: str | None = None
    load: dict[str, ModelLoading] = Field(default_factory=dict)

    @field_validator("surrogates", "targets")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _source(self) -> Self:
        if self.prompt_source not in self.surrogates:
            known = ", ".join(self.surrogates)
            raise ValueError(f"prompts_from must be one of the surrogates ({known}), got {self.prompts_from!r}")
        for name in self.load:
            if name not in self.models:
                raise ValueError(f"load names {name!r}, which is not a surrogate or target ({', '.join(self.models)})")
        return self

    @classmethod
    def nested(cls) -> dict[str, type[BaseModel]]:
        """See ``Settings.nested``."""
        return {**super().nested(), "load": ModelLoading}

    @property
    def prompt_source(self) -> str:
        """The surrogate that the prompts of the reference *clean* come from."""
        return self.prompts_from or self.surrogates[0]

    @property
    def models(self) -> tuple[str, ...]:
        """Every model, once."""
        return tuple(dict.fromkeys((*self.surrogates, *self.targets)))

    def changed(self, model: str) -> dict[str, Any]:
        """How a model is loaded otherwise than the rest of the plan."""
        return self.load[model].model_dump() if model in self.load else {}

    def run_config(self, surrogate: str) -> RunConfig:
        """The run of attacks on one surrogate."""
        shared = {key: value for key, value in self.model_dump().items() if key in Settings.model_fields}
        return RunConfig(**{**shared, **self.changed(surrogate), "model": surrogate})


def read_plan(path: Path, photos: Sequence[str] = ()) -> TransferPlan:
    """Read a plan; photos given here replace those in the file.

    Raises:
        UsageError: not readable, not YAML, an unknown key (with the nearest name) or a bad value, or no photos.
    """
    values: dict[str, Any] = read_values(TransferPlan, path)
    if photos:
        values["photos"] = list(photos)
    if "photos" not in values:
        raise UsageError(f"{path} names no photos; give a folder of them with --data")
    return parse_settings(TransferPlan, values, str(path))


def dump_plan(plan: TransferPlan) -> str:
    """The YAML text of a plan; the same text for the same plan."""
    return dump_settings(plan, "segrobust run THIS -o NEW_FOLDER")


def file_names(models: Sequence[str]) -> dict[str, str]:
    """A distinct, safe file name for every model: the last part of its name, where that is unique."""
    plain = {name: re.sub(r"[^\w.-]+", "_", name.rstrip("/").rpartition("/")[2]).lstrip(".") or "_" for name in models}
    counts = Counter(name.casefold() for name in plain.values())
    return {
        model: name if counts[name.casefold()] == 1 else f"{name}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
        for model, name in plain.items()
    }
