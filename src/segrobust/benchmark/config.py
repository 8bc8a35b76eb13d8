"""What a run is: everything that decides its numbers, in one YAML file that can be run again."""

from pathlib import Path
from typing import Any

from segrobust.benchmark.settings import (
    Settings,
    dump_settings,
    parse_settings,
    read_values,
)

CONTROLS = ("rga-untargeted", "rga-random-cells")


class RunConfig(Settings):
    """A run of attacks on photos, on one model.

    Attributes:
        model: a name, a folder or a file, see ``models.load``.
        checkpoint: a file of weights for the named model (None: where they are looked for).
    """

    model: str = "nano"
    checkpoint: str | None = None

    def loading(self) -> dict[str, Any]:
        """How the model is loaded: the keyword arguments of ``models.load``."""
        return {**super().loading(), "checkpoint": self.checkpoint}


def parse_config(values: dict[str, Any], where: str = "settings") -> RunConfig:
    """Validate settings.

    Raises:
        UsageError: an unknown key (with the nearest name) or a bad value, on one line.
    """
    return parse_settings(RunConfig, values, where)


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that a YAML file holds; it may lack the photos, for those of the command line.

    Raises:
        UsageError: not readable, not YAML, or settings that are unknown or wrong.
    """
    return read_values(RunConfig, path)


def read_config(path: Path) -> RunConfig:
    """Read a run's ``config.yaml``.

    Raises:
        UsageError: not readable, not YAML, or not a valid configuration.
    """
    return parse_config(read_settings(path), str(path))


def dump_config(config: RunConfig) -> str:
    """The YAML text of a configuration; the same text for the same configuration."""
    return dump_settings(config, "segrobust attack -c THIS -o NEW_FOLDER")
