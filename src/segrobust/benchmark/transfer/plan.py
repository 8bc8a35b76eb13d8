"""What a transfer experiment is: which models are attacked, and which are asked what is left."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.settings import Settings, dump_settings, parse_settings, read_values
from segrobust.errors import UsageError


class TransferPlan(Settings):
    """Attacks on every surrogate, and the saved photos scored on every target.

    Attributes:
        surrogates: white boxes that are attacked, each in a run of its own; see ``models.load``.
        targets: models that score the photos; a black box will do.
        prompts_from: the surrogate whose masks on the original photo the prompts of the reference *clean* ask for
            (None: the first). All targets answer the same prompts.
    """

    surrogates: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    prompts_from: str | None = None

    @field_validator("surrogates", "targets")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _source(self) -> Self:
        if self.prompt_source not in self.surrogates:
            known = ", ".join(self.surrogates)
            raise ValueError(f"prompts_from must be one of the surrogates ({known}), got {self.prompts_from!r}")
        return self

    @property
    def prompt_source(self) -> str:
        """The surrogate that the prompts of the reference *clean* come from."""
        return self.prompts_from or self.surrogates[0]

    @property
    def models(self) -> tuple[str, ...]:
        """Every model, once."""
        return tuple(dict.fromkeys((*self.surrogates, *self.targets)))

    def run_config(self, surrogate: str) -> RunConfig:
        """The run of attacks on one surrogate."""
        shared = {key: value for key, value in self.model_dump().items() if key in Settings.model_fields}
        return RunConfig(model=surrogate, **shared)


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
