"""What a state dict is, told from its names and shapes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segrobust.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    State = Mapping[str, Tensor]

Layout = Literal["official", "transformers", "segrobust"]

_VIT = {(768, 12): ("B", "base"), (1024, 24): ("L", "large"), (1280, 32): ("H", "huge")}
"""SAM's encoders by width and depth."""
_HIERA = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base-plus", (144, 48): "large"}
"""SAM 2's encoders by width of the first stage and number of blocks."""
_EFFICIENT = {192: ("EfficientSAM-Ti", "efficient_sam_vitt"), 384: ("EfficientSAM-S", "efficient_sam_vits")}
_YOLO = {32: ("FastSAM-s", "FastSAM-s"), 80: ("FastSAM-x", "FastSAM-x")}


@dataclass(frozen=True)
class Recognised:
    """What a file of weights holds.

    Attributes:
        family: ``sam``, ``sam_hq``, ``sam2``, ``sam3``, ``mobile_sam``, ``efficient_sam``, ``fast_sam``,
            ``light_hq`` or ``nano``.
        layout: whose names the weights have: the authors', transformers' or ours.
        title: for people, e.g. ``SAM ViT-H``.
        name: of the model in ``segrobust ls models``; empty = a size of its own.
    """

    family: str
    layout: Layout
    title: str
    name: str


def recognise(state: "State", path: Path) -> Recognised:
    """Tell what a state dict is.

    Args:
        state: tensors by name.
        path: where it comes from, for the error.

    Raises:
        ModelError: nothing that is known here; names the first weights.
    """
    for key, describe in _SIGNS:
        if key in state:
            return describe(state)
    first = ", ".join(list(state)[:4])
    raise ModelError(
        f"{path} holds weights of no model that is known here; its {len(state)} names begin with {first}; if it is a "
        "fine-tune in transformers' layout, give its folder with config.json"
    )


def refuse_other(state: "State", path: Path, asked: str) -> None:
    """See that a file holds the model that was asked for.

    Args:
        state: tensors by name.
        path: the file.
        asked: name of a model that is a single file, e.g. ``sam_vit_b``.

    Raises:
        ModelError: it holds another one; says which, and what to type.
    """
    found = recognise(state, path)
    if found.name == asked:
        return
    advice = f"use -m {found.name}" if found.name else f"give the file itself: -m {path}"
    raise ModelError(f"{path} is {found.title}; you asked for {asked}: {advice}")


def _vit(state: "State", encoder: str, blocks: str) -> tuple[int, int]:
    """Width and depth of a SAM's encoder."""
    return state[f"{encoder}.pos_embed"].shape[-1], _count(state, f"{encoder}.{blocks}")


def _count(state: "State", prefix: str) -> int:
    return len({found[1] for key in state if (found := re.match(rf"{re.escape(prefix)}\.(\d+)\.", key))})


def _sam(layout: Layout) -> "Callable[[State], Recognised]":
    encoder, blocks = ("image_encoder", "blocks") if layout == "official" else ("vision_encoder", "layers")

    def describe(state: "State") -> Recognised:
        width, depth = _vit(state, encoder, blocks)
        if (width, depth) not in _VIT:
            return Recognised("sam", layout, f"a SAM of its own size (width {width}, {depth} blocks)", "")
        letter, _ = _VIT[width, depth]
        return Recognised("sam", layout, f"SAM ViT-{letter}", f"sam_vit_{letter.lower()}")

    return describe


def _sam_hq(layout: Layout) -> "Callable[[State], Recognised]":
    encoder, blocks = ("image_encoder", "blocks") if layout == "official" else ("vision_encoder", "layers")

    def describe(state: "State") -> Recognised:
        if f"{encoder}.pos_embed" not in state:
            return Recognised("light_hq", layout, "a Light HQ-SAM (TinyViT encoder)", "")
        width, depth = _vit(state, encoder, blocks)
        if (width, depth) not in _VIT:
            return Recognised("sam_hq", layout, f"a SAM-HQ of its own size (width {width}, {depth} blocks)", "")
        letter, size = _VIT[width, depth]
        return Recognised("sam_hq", layout, f"SAM-HQ ViT-{letter}", f"syscv-community/sam-hq-vit-{size}")

    return describe


def _sam2(layout: Layout) -> "Callable[[State], Recognised]":
    trunk = "image_encoder.trunk.patch_embed.proj" if layout == "official" else f"{_HIERA_PATCH}.projection"

    def describe(state: "State") -> Recognised:
        width = len(state[f"{trunk}.weight"])
        blocks = "image_encoder.trunk.blocks" if layout == "official" else "vision_encoder.backbone.blocks"
        size = _HIERA.get((width, _count(state, blocks)), "")
        # Only 2.1 has it; what segments single photos is the same in both, so a checkpoint without memory is "2".
        version = "2.1" if any("no_obj_embed_spatial" in key or "occlusion_spatial" in key for key in state) else "2"
        name = f"facebook/sam{version}-hiera-{size}" if size else ""
        return Recognised("sam2", layout, f"SAM {version} Hiera {size or 'of its own size'}", name)

    return describe


def _efficient_sam(state: "State") -> Recognised:
    width = state["image_encoder.pos_embed"].shape[-1]
    title, name = _EFFICIENT.get(width, (f"an EfficientSAM of width {width}", ""))
    return Recognised("efficient_sam", "official", title, name)


def _image_encoder(state: "State") -> Recognised:
    """EfficientSAM's positions are ``(1, n, width)``, SAM's ``(1, h, w, width)``."""
    return _efficient_sam(state) if state["image_encoder.pos_embed"].ndim == 3 else _sam("official")(state)


def _fast_sam(state: "State") -> Recognised:
    width = len(state["model.0.conv.weight"])
    title, name = _YOLO.get(width, (f"a YOLO whose first layer has {width} channels", ""))
    return Recognised("fast_sam", "official", title, name)


def _fixed(family: str, layout: Layout, title: str, name: str = "") -> "Callable[[State], Recognised]":
    return lambda state: Recognised(family, layout, title, name)


_HIERA_PATCH = "vision_encoder.backbone.patch_embed"
_SIGNS: "tuple[tuple[str, Callable[[State], Recognised]], ...]" = (
    ("mask_decoder.hf_token.weight", _sam_hq("official")),
    ("mask_decoder.hq_token.weight", _sam_hq("transformers")),
    ("image_encoder.patch_embed.seq.0.c.weight", _fixed("mobile_sam", "official", "MobileSAM", "mobile_sam")),
    ("image_encoder.trunk.patch_embed.proj.weight", _sam2("official")),
    (f"{_HIERA_PATCH}.projection.weight", _sam2("transformers")),
    ("vision_encoder.backbone.embeddings.patch_embeddings.projection.weight", _fixed("sam3", "transformers", "SAM 3")),
    ("image_encoder.pos_embed", _image_encoder),
    ("vision_encoder.pos_embed", _sam("transformers")),
    ("vision_encoder.attention.0.mlp.0.weight", _fixed("nano", "segrobust", "a nano of segrobust")),
    ("vision_encoder.stem.0.weight", _fixed("nano", "segrobust", "a nano-conv of segrobust")),
    ("model.0.conv.weight", _fast_sam),
)
"""One weight that only this kind of file has, and what tells its size; the first that is there decides."""
