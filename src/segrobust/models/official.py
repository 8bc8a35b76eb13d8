"""Models from single files of weights, in the authors' layout or transformers'; what a file is, its content says."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segrobust.errors import ModelError, UsageError
from segrobust.models.checkpoint import read_state
from segrobust.models.loading import ModelFolder, load_source
from segrobust.models.options import LoadOptions
from segrobust.models.recognise import Recognised, recognise, refuse_other
from segrobust.models.registry import load
from segrobust.models.sam import SamSegmenter
from segrobust.models.sam_names import POSITIONS, sam_config, to_transformers
from segrobust.models.sam_parts import SamConfig, SamModel
from segrobust.models.sniff import sha256
from segrobust.models.weights import locate

if TYPE_CHECKING:
    from torch import Tensor

    from segrobust.models.base import Segmenter

ON_THE_HUB = {"sam2": "facebook/sam2.1-hiera-tiny", "sam3": "facebook/sam3"}
"""Families whose files are not read here, and a name that is."""


def load_sam(name: str, options: LoadOptions) -> SamSegmenter:
    """SAM ViT-B, L or H from the official file.

    Args:
        name: ``sam_vit_b``, ``sam_vit_l`` or ``sam_vit_h``.
        options: ``checkpoint``, or else the file in the weights cache, is read; a fine-tune of the same size, and one
            under transformers' names, are as good.

    Raises:
        ModelError: the file is not here, or holds another model (says which).
    """
    path = options.checkpoint or locate(name)
    state = read_state(path)
    refuse_other(state, path, name)
    return _sam_segmenter(state, name, path, options)


def load_file(name: str, options: LoadOptions) -> "Segmenter":
    """A segmenter from any file of weights that is recognised.

    SAM (also of other sizes), SAM-HQ, MobileSAM, EfficientSAM and FastSAM. A ``model.safetensors`` beside a
    ``config.json`` stands for its folder.

    Args:
        name: the file's path.
        options: device, precision and so on.

    Raises:
        ModelError: not a file of weights, or of a model that is not loaded from a single file.
        UsageError: another file as ``checkpoint``.
    """
    path = Path(name)
    if options.checkpoint is not None:
        raise UsageError(f"model {name!r} is a file of weights already; --checkpoint goes with a name")
    if path.suffix == ".safetensors" and (path.parent / "config.json").is_file():
        return load_source(ModelFolder(str(path.parent), name), options)
    state = read_state(path)
    found = recognise(state, path)
    if found.family in ("sam", "sam_hq"):
        return _sam_segmenter(state, name, path, options)
    if found.family in ("mobile_sam", "efficient_sam", "fast_sam") and found.name:
        segmenter = load(found.name, **{**vars(options), "checkpoint": path})
        segmenter.name = name
        return segmenter
    raise ModelError(f"{path} is {found.title}, {_instead(found)}")


def _instead(found: Recognised) -> str:
    """What to do with weights that are not loaded from a single file."""
    if found.layout == "transformers" or found.family == "nano":
        return "which also needs its config.json: name it model.safetensors, put both into a folder and give the folder"
    if found.family in ON_THE_HUB:
        return f"which is not read from the authors' file; the same weights are -m {found.name or ON_THE_HUB['sam2']}"
    return "which cannot be loaded here"


def sam_network(state: "dict[str, Tensor]") -> tuple[nn.Module, dict[str, Any]]:
    """``SamModel`` or ``SamHQModel`` of transformers, filled with weights in float32, and its ``config.json``.

    Args:
        state: a SAM's or SAM-HQ's, under the authors' or transformers' names.

    Raises:
        ModelError: weights are missing, unknown or of shapes that do not fit each other.
    """
    state = to_transformers(state)
    config = sam_config(state)
    with torch.device("meta"):  # not even SAM-H's 2.4 GB are made twice
        model = _hq_network(config) if config["model_type"] == "sam_hq" else SamModel(SamConfig(**config))
    filled = {key: value.float() for key, value in state.items()}
    if POSITIONS in filled:
        filled["prompt_encoder.shared_embedding.positional_embedding"] = filled[POSITIONS]
    try:
        model.load_state_dict(filled, assign=True)
    except RuntimeError as error:
        raise ModelError(f"the weights do not fit a SAM: {str(error).splitlines()[-1].strip()[:200]}") from None
    return model, config


def _hq_network(config: dict[str, Any]) -> nn.Module:
    from transformers import SamHQConfig, SamHQModel

    return SamHQModel(SamHQConfig(**config))


def _sam_segmenter(state: "dict[str, Tensor]", name: str, path: Path, options: LoadOptions) -> SamSegmenter:
    try:
        model, config = sam_network(state)
    except ModelError as error:
        raise ModelError(f"cannot load {path}: {error}") from None
    if config["model_type"] == "sam_hq":
        from segrobust.models.sam_hq import SamHQSegmenter

        return SamHQSegmenter(model, name, options, fingerprint=sha256(path))
    return SamSegmenter(model, name, options, fingerprint=sha256(path))
