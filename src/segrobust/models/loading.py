"""Folders and Hugging Face names into segmenters; ``config.json`` says which family it is."""

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from segrobust.errors import ModelError
from segrobust.models.base import EverythingSettings
from segrobust.models.options import LoadOptions
from segrobust.models.presence import embedded_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from segrobust.models.base import Segmenter

    FamilyLoader = Callable[["ModelFolder", LoadOptions], Segmenter]

FAMILIES = {
    "segrobust-nano/1": "nano_loading:load_nano",
    "segrobust-nano-conv/1": "nano_conv:load_nano_conv",
    "sam": "sam:load_sam",
    "sam_hq": "sam_hq:load_sam_hq",
    "sam2": "sam2:load_sam2",
    "sam2_video": "sam2:load_sam2",
    "sam3": "sam3:load_sam3",
    "sam3_video": "sam3:load_sam3",
    "sam3_tracker": "sam3:load_sam3",
    "sam3_tracker_video": "sam3:load_sam3",
}
"""``format`` (ours) or ``model_type`` (transformers) of a ``config.json``, and who loads it."""


class ModelFolder:
    """A folder with ``config.json`` and ``model.safetensors``, or a name on the Hugging Face hub.

    Args:
        source: the folder, or the hub's name.
        name: what the segmenter will be called.
    """

    def __init__(self, source: str, name: str) -> None:
        self.source = source
        self.name = name
        self.local = Path(source).is_dir()
        self.config = self.read_json("config.json")

    def read_json(self, name: str, *, optional: bool = False) -> dict[str, Any]:
        """A JSON file of the folder; ``optional``: an empty one if it is not there.

        Raises:
            ModelError: it is not there, or holds no JSON object.
        """
        file = self.find(name)
        if file is None and optional:
            return {}
        if file is None:
            missing = f"cannot read {Path(self.source) / name}: no such file"
            raise ModelError(missing if self.local else self.unreachable())
        try:
            value = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot read {file}: {error}") from error
        if not isinstance(value, dict):
            raise ModelError(f"{file} must hold a JSON object, got {type(value).__name__}")
        return value

    def find(self, name: str) -> Path | None:
        """Where a file of the folder is on this machine (the hub's are downloaded), or None."""
        if self.local:
            file = Path(self.source) / name
            return file if file.exists() else None
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(self.source, name))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError):
            return None

    def unreachable(self, reason: str = "not in the cache, and the hub cannot be reached or has no such name") -> str:
        """What to do when weights are not here, on one line."""
        if self.local:
            return f"cannot load {self.source}: {reason}; is the folder complete (config.json, model.safetensors)?"
        return (
            f"cannot load {self.source}: no such folder here; {reason}; on a connected machine: "
            f"'hf download {self.source}'; copy the folder here and give its path"
        )

    def everything(self) -> EverythingSettings:
        """The folder's own segment-everything settings, or the defaults.

        Raises:
            ModelError: an unknown setting.
        """
        try:
            return EverythingSettings(**self.config.get("everything", {}))
        except TypeError as error:
            raise ModelError(f"{self.source}/config.json: 'everything' has an unknown setting: {error}") from error

    def digest(self) -> str:
        """sha256 of ``model.safetensors``; empty if the weights are kept otherwise."""
        file = self.find("model.safetensors")
        if file is None:
            return ""
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def pretrained(self, kind: Any, **changes: Any) -> Any:
        """``kind.from_pretrained`` of this source, in float32.

        Args:
            kind: a class of transformers.
            **changes: passed on.

        Raises:
            ModelError: it cannot be loaded.
        """
        import torch
        from safetensors import SafetensorError

        try:
            return kind.from_pretrained(self.source, local_files_only=self.local, dtype=torch.float32, **changes)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(self.unreachable(reason)) from error


def load_embedded(name: str, options: LoadOptions) -> "Segmenter":
    """A model of the embedded family: shipped with the package, or beside it in the repository.

    Raises:
        ModelError: it is not here.
    """
    folder = embedded_folder(name)
    if folder is not None:
        return load_source(ModelFolder(str(folder), name), options)
    raise ModelError(
        f"model {name!r} is not in the installed package, to keep that small: 'pip install -e .' in a checkout of the "
        f"repository, or give the path of its folder models/{name}"
    )


def load_folder(name: str, options: LoadOptions) -> "Segmenter":
    """A model from ``config.json`` and ``model.safetensors`` in a folder.

    Raises:
        ModelError: a file is missing or is not what it should be.
    """
    return load_source(ModelFolder(name, name), options)


def load_hub(name: str, options: LoadOptions) -> "Segmenter":
    """A model by its Hugging Face name, from the hub's cache or the hub.

    Raises:
        ModelError: neither has it.
    """
    return load_source(ModelFolder(name, name), options)


def load_source(folder: ModelFolder, options: LoadOptions) -> "Segmenter":
    """Let the family that ``config.json`` names load the folder.

    Raises:
        ModelError: no family that is known here.
    """
    kind = folder.config.get("format") or folder.config.get("model_type")
    if kind not in FAMILIES:
        raise ModelError(
            f"{folder.source}/config.json describes no model that is known here: it says {kind!r}; "
            f"known are {', '.join(FAMILIES)}"
        )
    if options.checkpoint is not None:
        raise ModelError(f"model {folder.name!r} is a folder of its own; --checkpoint goes with names of single files")
    module, _, function = FAMILIES[kind].partition(":")
    loader = cast("FamilyLoader", getattr(import_module(f"{__package__}.{module}"), function))
    return loader(folder, options)
