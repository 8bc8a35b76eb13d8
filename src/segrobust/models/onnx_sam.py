"""A SAM as two ONNX files, as segment-anything and its relatives export it: an encoder and a decoder.

Source: segment-anything's ``scripts/export_onnx_model.py`` and ``utils/onnx.py``. The decoder gives low-resolution
logits, so the pair is a ``Promptable``: one embedding for all prompts, and segment everything with all its filters. But
there is no gradient.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segrobust.models.base import Capabilities, Embedding, EverythingSettings, Prediction, Promptable, prompt_arrays
from segrobust.models.geometry import SAM_MEAN, SAM_STD, Geometry, normalise_and_pad, resize
from segrobust.models.onnx_session import PhotoSlot, Session
from segrobust.types import Prompts

SIDE = 1024
"""Of SAM's input, where neither file fixes another."""
EMBEDDING = "image_embeddings"
NEEDED = (EMBEDDING, "point_coords", "point_labels")
GIVEN = (*NEEDED, "mask_input", "has_mask_input", "orig_im_size")
LOGITS, SCORES = "low_res_masks", "iou_predictions"
PADDING, POINT, CORNERS = -1, 1, (2, 3)
"""Labels of ``point_coords``."""


class OnnxSam(Promptable):
    """The pair behind ``Promptable``.

    The encoder takes ``(1, 3, S, S)`` float, resized, normalised and padded as SAM does; or the resized photo itself,
    0 .. 255: any uint8 input, and any float input with the channels last. The decoder answers one prompt at a time.
    Of four masks the first is the single answer and the others are the choices, as in SAM; of three the best by
    predicted IoU is the single one; a graph that gives one mask has chosen itself.

    Args:
        name: for tables.
        encoder: its session.
        decoder: its session.

    Raises:
        ModelError: two files that do not fit this or each other.
    """

    capabilities = Capabilities(gradient=False, points=True, boxes=True, everything=True)

    def __init__(self, name: str, encoder: Session, decoder: Session) -> None:
        self.name = name
        self.everything = EverythingSettings()
        self.fingerprint = f"{encoder.digest()},{decoder.digest()}"
        self._encoder, self._decoder = encoder, decoder
        self._photo = PhotoSlot.of(encoder)
        self._prepared = self._photo.slot.dtype.kind == "f" and not self._photo.channels_last
        self._embedding = _find_embedding(encoder)
        self._extra = _check_decoder(decoder, encoder)
        self._slots = _prompt_slots(decoder)
        self.side = self._find_side()

    def _find_side(self) -> int:
        size = self._photo.size
        if size is not None and size[0] != size[1]:
            raise self._encoder.refuse(f"a SAM's input is square, not {size[0]} x {size[1]}")
        mask = self._decoder.inputs.get("mask_input")
        low = mask.shape[-1] if mask is not None else None
        if size is not None and low is not None and size[0] != 4 * low:
            raise self._decoder.refuse(f"its mask_input of {low} belongs to an input of {4 * low}, not {size[0]}")
        return size[0] if size is not None else 4 * low if low is not None else SIDE

    def embed(self, images: Tensor) -> Embedding:
        """Embed photos of one size.

        Args:
            images: ``(B, 3, H, W)`` or ``(3, H, W)`` float in [0, 1]; encoded one after the other.
        """
        batch = images[None] if images.ndim == 3 else images
        height, width = batch.shape[-2:]
        geometry = Geometry.fit((height, width), self.side)
        runs = [self._encode(resize(image[None].detach().cpu(), geometry.resized)) for image in batch]
        features, *extra = (torch.from_numpy(np.concatenate(column)) for column in zip(*runs, strict=True))
        return Embedding(features, geometry, tuple(extra))

    def _encode(self, pixels: Tensor) -> list[NDArray[Any]]:
        mean, std = torch.tensor(SAM_MEAN).view(3, 1, 1), torch.tensor(SAM_STD).view(3, 1, 1)
        if self._prepared:
            pixels = normalise_and_pad(pixels, mean, std, self.side)
        elif self._photo.size is not None:
            missing = (0, self.side - pixels.shape[-1], 0, self.side - pixels.shape[-2])
            pixels = (F.pad(pixels - mean, missing) + mean) * 255  # padded with what SAM's zeros mean, the mean colour
        else:
            pixels = pixels * 255
        return self._encoder.run([self._embedding, *self._extra], self._photo.feed(pixels[0]))

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        """Answer prompts on one embedded photo, points first, then boxes.

        Returns:
            Logits ``(n, k, h, w)`` and predicted IoUs ``(n, k)``; k is 1, or more with ``multimask``.
        """
        if embedding.features.shape[0] != 1:
            raise ValueError(f"masks() takes the embedding of one photo, got {embedding.features.shape[0]}")
        points, boxes = prompt_arrays(prompts, embedding.geometry)
        asked = [([point, np.zeros(2)], [POINT, PADDING]) for point in points]
        asked += [([box[:2], box[2:]], list(CORNERS)) for box in boxes]
        if not asked:
            side = self.side // 4
            return Prediction(torch.zeros(0, 1, side, side), torch.zeros(0, 1), embedding.geometry)
        answers = [self._decode(embedding, coordinates, labels, multimask) for coordinates, labels in asked]
        logits, scores = (torch.cat(column).float() for column in zip(*answers, strict=True))
        return Prediction(logits, scores, embedding.geometry)

    def _decode(
        self, embedding: Embedding, coordinates: list[NDArray[Any]], labels: list[int], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        missing = (self._slots or len(labels)) - len(labels)
        low = self.side // 4
        feeds = {
            EMBEDDING: embedding.features.numpy(),
            "point_coords": np.stack([*coordinates, *[np.zeros(2)] * missing])[None],
            "point_labels": np.array([[*labels, *[PADDING] * missing]]),
            "mask_input": np.zeros((1, 1, low, low)),
            "has_mask_input": np.zeros(1),
            # Only the low-resolution masks are used: the graph need not enlarge them to the photo.
            "orig_im_size": np.array([self.side, self.side]),
        } | {name: part.numpy() for name, part in zip(self._extra, embedding.extra, strict=True)}
        wanted = {name: value for name, value in feeds.items() if name in self._decoder.inputs}
        logits, scores = self._decoder.run([LOGITS, SCORES], wanted)
        return self._choose(torch.from_numpy(logits), torch.from_numpy(scores), multimask)

    def _choose(self, logits: Tensor, scores: Tensor, multimask: bool) -> tuple[Tensor, Tensor]:
        k = logits.shape[1] if logits.ndim == 4 and logits.shape[0] == 1 else 0
        if k not in (1, 3, 4) or tuple(scores.shape) != (1, k):
            found = f"{LOGITS} {tuple(logits.shape)}, {SCORES} {tuple(scores.shape)}"
            raise self._decoder.refuse(f"answered {found} to one prompt, where 1, 3 or 4 masks are known")
        if k == 4:
            return (logits[:, 1:], scores[:, 1:]) if multimask else (logits[:, :1], scores[:, :1])
        if k == 3 and not multimask:
            best = int(scores.argmax())
            return logits[:, best : best + 1], scores[:, best : best + 1]
        return logits, scores


def _find_embedding(encoder: Session) -> str:
    if EMBEDDING in encoder.outputs:
        return EMBEDDING
    if len(encoder.outputs) != 1:
        raise encoder.refuse(f"none of its outputs is called {EMBEDDING!r}")
    return next(iter(encoder.outputs))


def _check_decoder(decoder: Session, encoder: Session) -> tuple[str, ...]:
    """What else the decoder takes from the encoder, by name (SAM-HQ: ``interm_embeddings``)."""
    missing = [name for name in NEEDED if name not in decoder.inputs]
    missing += [name for name in (LOGITS, SCORES) if name not in decoder.outputs]
    if missing:
        raise decoder.refuse(f"a SAM decoder has {', '.join(missing)}")
    extra = tuple(name for name in decoder.inputs if name not in GIVEN)
    unknown = [name for name in extra if name not in encoder.outputs]
    if unknown:
        raise decoder.refuse(f"nobody knows what to give to {', '.join(unknown)}")
    return extra


def _prompt_slots(decoder: Session) -> int | None:
    """How many points a prompt must have; None: any number."""
    shape = decoder.inputs["point_coords"].shape
    slots = shape[1] if len(shape) == 3 else 0
    if slots is not None and slots < 2:
        raise decoder.refuse("point_coords must be (1, points, 2) with room for two points")
    return slots
