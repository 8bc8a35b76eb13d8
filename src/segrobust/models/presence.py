"""Whether a model's weights are on this machine, found out without loading anything."""

from pathlib import Path

from segrobust.errors import ModelError
from segrobust.models.machine import hub_cache
from segrobust.models.table import ModelEntry
from segrobust.models.weights import locate

EMBEDDED = Path(__file__).parent / "embedded"
BESIDE = Path(__file__).parents[3] / "models"
"""In a checkout of the repository: the embedded models that are too large for the package."""


def where(entry: ModelEntry) -> Path | None:
    """The folder or file with a model's weights; None if they are not here (or a plug-in keeps them).

    A look at names: whether the files are whole is only known when they are loaded, or by ``segrobust models verify``.
    """
    if entry.loader == "loading:load_embedded":
        folder = embedded_folder(entry.name)
        return folder if folder and _has_weights(folder) else None
    if entry.loader == "loading:load_hub":
        return _in_the_hub_cache(entry.name)
    return None if entry.state == "plug-in" else _single_file(entry.name)


def file_of(name: str) -> str:
    """Under which name a model's single file is known: ``FastSAM-s@photo`` is ``FastSAM-s`` with another setting."""
    return name.partition("@")[0]


def embedded_folder(name: str) -> Path | None:
    """The folder of a model that came with the package or the repository; None if it did not."""
    return next((folder for folder in (EMBEDDED / name, BESIDE / name) if (folder / "config.json").exists()), None)


def _has_weights(folder: Path) -> bool:
    return any(file.exists() for file in folder.glob("*.safetensors"))  # of a broken link, the name alone is there


def _in_the_hub_cache(name: str) -> Path | None:
    cache = hub_cache()
    snapshots = [] if cache is None else sorted(cache.glob(f"models--{name.replace('/', '--')}/snapshots/*"))
    return next(filter(_has_weights, snapshots), None)


def _single_file(name: str) -> Path | None:
    try:
        return locate(file_of(name))
    except ModelError:
        return None
