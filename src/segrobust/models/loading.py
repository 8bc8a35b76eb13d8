"""Weights into segmenters: the shipped models, folders, and the Hugging Face hub."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from segrobust.errors import ModelError
from segrobust.models.base import EverythingSettings
from segrobust.models.nano import NanoConfig, NanoSam
from segrobust.models.sam import SamSegmenter
from segrobust.models.sam_parts import SamModel

NANO_FORMAT = "segrobust-nano/1"


def load_folder(folder: Path, name: str, device: str, dtype: torch.dtype) -> SamSegmenter:
    """A model from ``config.json`` and ``model.safetensors`` in a folder.

    Raises:
        ModelError: a file is missing or is not what it should be.
    """
    config = _read_config(folder)
    if config.get("format") == NANO_FORMAT:
        return _load_nano(folder, config, name, device, dtype)
    if config.get("model_type") == "sam":
        model = _from_pretrained(str(folder), local_only=True)
        return SamSegmenter(
            model, name, device=device, dtype=dtype, everything=_everything(config, folder), fingerprint=_digest(folder)
        )
    raise ModelError(
        f"{folder / 'config.json'} describes neither a SAM (model_type 'sam') nor a nano model "
        f"(format {NANO_FORMAT!r}); it says model_type {config.get('model_type')!r}"
    )


def load_hub(name: str, device: str, dtype: torch.dtype) -> SamSegmenter:
    """A transformers ``SamModel`` by its Hugging Face name, from the hub's cache or the hub.

    Raises:
        ModelError: neither has it.
    """
    return SamSegmenter(_from_pretrained(name, local_only=False), name, device=device, dtype=dtype)


def _from_pretrained(source: str, *, local_only: bool) -> SamModel:
    try:
        model: SamModel = SamModel.from_pretrained(source, local_files_only=local_only)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        advice = (
            "is the folder complete (config.json, model.safetensors)?"
            if local_only
            else f"on a connected machine: 'hf download {source}'; copy the folder here and give its path"
        )
        raise ModelError(f"cannot load {source}: {reason}; {advice}") from error
    return model


def _load_nano(folder: Path, config: dict[str, Any], name: str, device: str, dtype: torch.dtype) -> SamSegmenter:
    sizes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config["architecture"].items()}
    model = NanoSam(NanoConfig(**sizes))
    file = folder / "model.safetensors"
    try:
        weights = {key: value.float() for key, value in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read {file}: {error}; reinstall segrobust or restore the file") from error
    try:
        problems = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # a shape that differs
        raise ModelError(f"{file} does not fit its config.json: {str(error).splitlines()[-1].strip()}") from error
    # Not stored: counters of batch norm (unused in eval mode) and the encoding the decoder shares with the prompts.
    missing = [k for k in problems.missing_keys if "num_batches" not in k and "shared_image_embedding" not in k]
    if missing or problems.unexpected_keys:
        wrong = (missing + list(problems.unexpected_keys))[0]
        raise ModelError(f"{file} does not fit its config.json: {wrong!r} is missing or unexpected")
    nn.Module.to(model.vision_encoder, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SamSegmenter(
        model, name, device=device, dtype=dtype, everything=_everything(config, folder), fingerprint=_digest(folder)
    )


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {file}: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{file} must hold a JSON object, got {type(config).__name__}")
    return config


def _everything(config: dict[str, Any], folder: Path) -> EverythingSettings:
    try:
        return EverythingSettings(**config.get("everything", {}))
    except TypeError as error:
        raise ModelError(f"{folder / 'config.json'}: 'everything' has an unknown setting: {error}") from error


def _digest(folder: Path) -> str:
    file = folder / "model.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
