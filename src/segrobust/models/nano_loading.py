"""A nano model from its folder."""

from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from segrobust.errors import ModelError
from segrobust.models.loading import ModelFolder
from segrobust.models.nano import NanoConfig, NanoSam
from segrobust.models.options import LoadOptions
from segrobust.models.sam import SamSegmenter


def load_nano(folder: ModelFolder, options: LoadOptions) -> SamSegmenter:
    """``config.json`` (format ``segrobust-nano/1``) and ``model.safetensors``.

    Raises:
        ModelError: the weights are missing or do not fit the configuration.
    """
    model = NanoSam(NanoConfig(**read_sizes(folder)))
    load_weights(model, folder)
    nn.Module.to(model.vision_encoder, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SamSegmenter(model, folder.name, options, everything=folder.everything(), fingerprint=folder.digest())


def read_sizes(folder: ModelFolder) -> dict[str, Any]:
    """The sizes under ``architecture`` in the folder's ``config.json``; its lists become tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in folder.config["architecture"].items()}


def load_weights(model: nn.Module, folder: ModelFolder) -> None:
    """Fill a model from the folder's ``model.safetensors``.

    Raises:
        ModelError: the file is missing or does not fit.
    """
    file = f"{folder.source}/model.safetensors"
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
