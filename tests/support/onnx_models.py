"""ONNX files for tests: a SAM exported as segment-anything's script does it, and small graphs made by hand."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from segrobust.models.sam import SamSegmenter

FLOAT, INT64, UINT8, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL


class Encoder(nn.Module):
    """The encoder alone; with ``raw``, behind SAM's normalisation and padding, for pixels ``(H, W, 3)`` 0 .. 255."""

    def __init__(self, sam: SamSegmenter, raw: bool = False) -> None:
        super().__init__()
        self.vision, self.raw, self.side = sam.module.vision_encoder, raw, sam.frame.side
        self.mean, self.std = sam._mean, sam._std

    def forward(self, image: Tensor) -> Tensor:
        if self.raw:
            pixels = (image.float().permute(2, 0, 1)[None] / 255 - self.mean) / self.std
            missing_x = torch.zeros((1, 3, pixels.shape[2], self.side - pixels.shape[3]))
            wide = torch.cat([pixels, missing_x], dim=3)
            image = torch.cat([wide, torch.zeros((1, 3, self.side - pixels.shape[2], self.side))], dim=2)
        out = self.vision(image)
        return out if isinstance(out, Tensor) else out[0]


class Decoder(nn.Module):
    """The graph of segment-anything's ``SamOnnxModel``, from transformers' parts.

    Args:
        sam: the model.
        single: ``return_single_mask``: of the four masks, the first for three points and more, else the best other.
    """

    def __init__(self, sam: SamSegmenter, *, single: bool = False) -> None:
        super().__init__()
        self.prompts, self.decoder = sam._prompts, sam._decoder
        self.register_buffer("position", sam._position)
        self.side, self.single = sam.frame.side, single

    def forward(
        self, embedding: Tensor, coords: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        sparse = self.prompts.shared_embedding(((coords + 0.5) / self.side)[None])[0]
        which = labels[..., None]
        sparse = sparse * (which != -1) + self.prompts.not_a_point_embed.weight * (which == -1)
        for i, embed in enumerate(self.prompts.point_embed):
            sparse = sparse + embed.weight * (which == i)
        none = self.prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = has_mask * self.prompts.mask_embed(mask) + (1 - has_mask) * none
        low, scores = self._all_masks(embedding, sparse, dense)
        if self.single:
            weight = torch.tensor([[1000.0, 0, 0, 0]])
            best = (scores + (coords.shape[1] - 2.5) * weight).argmax(dim=1)
            low = low[torch.arange(low.shape[0]), best][:, None]
            scores = scores[torch.arange(scores.shape[0]), best][:, None]
        masks = F.interpolate(low, (self.side, self.side), mode="bilinear", align_corners=False)
        height, width = size.to(torch.int64)[0], size.to(torch.int64)[1]
        return F.interpolate(masks, (height, width), mode="bilinear", align_corners=False), scores, low

    def _all_masks(self, embedding: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        common: dict[str, Any] = {
            "image_embeddings": embedding,
            "image_positional_embeddings": self.position,
            "sparse_prompt_embeddings": sparse[None],
            "dense_prompt_embeddings": dense,
        }
        first, others = (self.decoder(multimask_output=multimask, **common) for multimask in (False, True))
        low, scores = (torch.cat(pair, dim=2)[0] for pair in zip(first, others, strict=True))
        return low, scores


INPUTS = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size")
OUTPUTS = ("masks", "iou_predictions", "low_res_masks")


def export_encoder(sam: SamSegmenter, file: Path, *, raw: Sequence[str] | None = None) -> Path:
    """``raw``: takes pixels ``(H, W, 3)``, "float" or "uint8", "fixed" or "free"."""
    side = sam.frame.side
    if raw is None:
        return _export(Encoder(sam), (torch.zeros(1, 3, side, side),), file, ["image"], ["image_embeddings"])
    example = torch.zeros((side if "fixed" in raw else side - 56, side, 3))
    free = {} if "fixed" in raw else {"input_image": {0: "height", 1: "width"}}
    example = example.to(torch.uint8) if "uint8" in raw else example
    return _export(Encoder(sam, raw=True), (example,), file, ["input_image"], ["image_embeddings"], free)


def export_decoder(sam: SamSegmenter, file: Path, *, single: bool = False) -> Path:
    """A decoder for any number of points."""
    side = sam.frame.side
    example = (
        torch.zeros(1, sam._dense.shape[1], side // 16, side // 16), torch.rand(1, 5, 2) * side, torch.ones(1, 5),
        torch.zeros(1, 1, side // 4, side // 4), torch.zeros(1), torch.tensor([200.0, 300.0]),
    )  # fmt: skip
    free = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}
    return _export(Decoder(sam, single=single), example, file, INPUTS, OUTPUTS, free)


def fix_points(decoder: Path, file: Path, points: int) -> Path:
    """The same decoder, for prompts of so many points."""
    model = onnx.load(str(decoder))
    for value in model.graph.input:
        if value.name in ("point_coords", "point_labels"):
            value.type.tensor_type.shape.dim[1].dim_value = points
    onnx.save(model, str(file))
    return file


def drop_first_mask(decoder: Path, file: Path) -> Path:
    """The same decoder without the first of its four masks."""
    model = onnx.load(str(decoder))
    graph = model.graph
    for name, value in {"from": [1], "to": [4], "axis": [1]}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    for output in graph.output:
        if output.name != "masks":
            output.type.tensor_type.shape.dim[1].dim_value = 3
            for node in graph.node:
                names = [f"{name}_of_four" if name == output.name else name for name in node.output]
                node.output[:] = names
                node.input[:] = [f"{name}_of_four" if name == output.name else name for name in node.input]
            graph.node.append(
                helper.make_node("Slice", [f"{output.name}_of_four", "from", "to", "axis"], [output.name])
            )
    onnx.save(model, str(file))
    return file


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    file: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: dict[str, dict[int, str]] | None = None,
) -> Path:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # segment-anything's own script uses the exporter that torch calls old
        torch.onnx.export(
            module.eval(), example, str(file), input_names=list(inputs), output_names=list(outputs),
            dynamic_axes=free or {}, opset_version=17, dynamo=False,
        )  # fmt: skip
    return file


def write_graph(
    file: Path,
    nodes: Sequence[tuple[Any, ...]],
    inputs: dict[str, tuple[int, Sequence[int | str]]],
    outputs: dict[str, tuple[int, Sequence[int | str]]],
    constants: dict[str, Any] | None = None,
) -> Path:
    """A graph by hand.

    Args:
        file: where to.
        nodes: (operator, inputs, outputs, attributes).
        inputs: name: (type, shape); a side with a name is not fixed.
        outputs: likewise.
        constants: arrays by name.
    """
    graph = helper.make_graph(
        [helper.make_node(op, list(takes), list(gives), **more) for op, takes, gives, *rest in nodes
         for more in [rest[0] if rest else {}]],
        "graph",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    return file
