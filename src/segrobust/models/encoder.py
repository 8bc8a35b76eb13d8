"""What the families with an encoder, a prompt encoder and a mask decoder have in common.

A family subclasses :class:`EncoderSegmenter` and gives two functions: its encoder and its decoder. Resize,
normalisation, precision, prompts in the photo's pixels and decoding in batches are here.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cached_property

import torch
from torch import Tensor, nn

from segrobust.models.activations import (
    computed_again,
    edited,
    find_encoder_layers,
    find_layers,
    gradient_bytes,
    recorded,
    replaced_forwards,
)
from segrobust.models.base import WhiteBox, check_layers
from segrobust.models.compiling import Compiler
from segrobust.models.decoding import decode_in_batches
from segrobust.models.frame import Frame
from segrobust.models.geometry import Geometry, normalise_and_pad, resize, to_tensor
from segrobust.models.memory import GradientMemory, generous_bound
from segrobust.models.options import LoadOptions
from segrobust.models.values import Capabilities, Embedding, EverythingSettings, Observed, Prediction
from segrobust.types import Image, Prompts


class EncoderSegmenter(WhiteBox):
    """A frozen network behind the ``WhiteBox`` interface, differentiable to the pixels.

    Args:
        name: for tables.
        options: device, precision and memory.
        frame: its input.
        everything: its segment-everything settings.
        fingerprint: sha256 of the weights, where known.

    Attributes:
        module: the whole network, which a family sets; its prompt encoder, if it has one, is ``prompt_encoder``.
    """

    module: nn.Module
    capabilities = Capabilities(gradient=True, points=True, boxes=True, everything=True)

    def __init__(
        self,
        name: str,
        options: LoadOptions,
        frame: Frame,
        everything: EverythingSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.everything = everything or EverythingSettings()
        self.frame = frame
        self.device = torch.device(options.device)
        self.dtype = options.dtype
        self._autocast_dtype = options.autocast
        self._compiler = Compiler(self.device) if options.compile else None
        self._memory = GradientMemory(
            name, self.device, options.max_memory, self._gradient_bytes, lambda: generous_bound(self.module, frame.side)
        )
        self._mean = torch.tensor(frame.mean, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(frame.std, device=self.device).view(3, 1, 1)

    @abstractmethod
    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Prepared input ``(B, 3, S, S)`` in ``dtype`` to the embedding ``(B, C, h, w)`` and what else decodes it.

        Every other tensor has the batch first too, so that photos of a batch can be told apart.
        """

    @abstractmethod
    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, ...]:
        """Answers to n >= 1 prompts of one kind on one photo, each on its own.

        Args:
            embedding: of one photo.
            points: ``(n, 2)`` xy in pixels of the model's input, one positive click each; or None.
            boxes: ``(n, 4)`` xyxy likewise; or None. Exactly one of the two is given.
            multimask: three masks for each prompt instead of one.

        Returns:
            Logits ``(n, k, h, w)`` and predicted IoUs ``(n, k)``; and of families that have it, presence ``(n,)``.
        """

    @property
    def low_resolution(self) -> tuple[int, int]:
        """Height and width of the logits."""
        return self.frame.side // 4, self.frame.side // 4

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """How a photo of ``size`` (height, width) lies in the model's input."""
        return (Geometry.stretch if self.frame.stretch else Geometry.fit)(size, self.frame.side)

    def resize(self, images: Tensor) -> Tensor:
        """Photos ``(B, 3, H, W)`` in [0, 1] to the model's resolution, unpadded."""
        height, width = images.shape[-2:]
        return resize(images, self.geometry((height, width)).resized)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Resized pixels in [0, 1] to the normalised, zero-padded input ``(B, 3, S, S)``."""
        return normalise_and_pad(pixels, self._mean, self._std, self.frame.side)

    def encode(self, inputs: Tensor) -> Tensor:
        """Prepared input to the embedding ``(B, C, h, w)`` float32."""
        return self._run(inputs)[0]

    @property
    def depth(self) -> int:
        """How many inner layers of the encoder :meth:`observe` can show."""
        return len(self._encoder_layers)

    def observe(self, inputs: Tensor, layers: Sequence[int] = ()) -> Observed:
        """Prepared input to features, what else decodes them, and the inner layers that are asked for.

        Raises:
            CapabilityError: a layer that is not there.
        """
        check_layers(self.name, self.depth, layers)
        with recorded({number: self._encoder_layers[number] for number in layers}) as seen:
            features, extra = self._run(inputs)
        return Observed(features, extra, seen)

    def edited(self, layer: int, edit: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """See ``WhiteBox.edited``.

        Raises:
            CapabilityError: a layer that is not there.
        """
        check_layers(self.name, self.depth, [layer])
        return edited(self._encoder_layers[layer], edit)

    def embed(self, images: Tensor) -> Embedding:
        """Embed original-resolution photos.

        Args:
            images: ``(B, 3, H, W)`` or ``(3, H, W)`` float in [0, 1].
        """
        batch = images[None] if images.ndim == 3 else images
        height, width = batch.shape[-2:]
        features, extra = self._run(self.prepare(self.resize(batch.to(self.device))))
        return Embedding(features, self.geometry((height, width)), extra)

    def embed_photos(self, photos: Sequence[Image]) -> list[Embedding]:
        """Embed photos of any sizes in one pass through the encoder, without gradients.

        Args:
            photos: each is resized and prepared on its own; all of them are in memory at once.

        Returns:
            One embedding for each photo, as :meth:`embed` gives it.
        """
        if not photos:
            return []
        with torch.no_grad():
            inputs = [self.prepare(self.resize(to_tensor(photo.pixels, self.device)[None])) for photo in photos]
            features, extra = self._run(torch.cat(inputs))
        return [
            Embedding(features[i : i + 1], self.geometry(photo.size), tuple(part[i : i + 1] for part in extra))
            for i, photo in enumerate(photos)
        ]

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        """Answer prompts on one embedded photo, points first, then boxes.

        Args:
            embedding: of a single photo.
            prompts: in original pixels; each prompt is answered on its own.
            multimask: three masks per prompt (small, middle, whole) instead of one.

        Returns:
            Low-resolution logits ``(n, k, h, w)`` and predicted IoUs ``(n, k)``; differentiable to the pixels.
        """
        if embedding.features.shape[0] != 1:
            raise ValueError(f"masks() takes the embedding of one photo, got {embedding.features.shape[0]}")
        with self._autocast(), self._exact_prompts():
            answers = decode_in_batches(
                lambda some, others: self._decode(embedding, some, others, multimask), prompts, embedding
            )
        if answers is None:
            empty = torch.zeros((0, 3 if multimask else 1, *self.low_resolution), device=self.device)
            return Prediction(empty, empty[..., 0, 0], embedding.geometry)
        logits, scores, *presence = answers
        return Prediction(logits, scores, embedding.geometry, *presence)

    def views_at_a_time(self, views: int) -> int:
        """How many views of a gradient step go through the encoder together, so that they fit into memory.

        Raises:
            MissingError: not even one does.
        """
        return self._memory.plan(views).at_a_time

    def _run(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        differentiated = torch.is_grad_enabled() and inputs.requires_grad
        again = differentiated and self._memory.plan(len(inputs)).again
        return self._encode_with(inputs, again, self._compiler)

    def _encode_with(self, inputs: Tensor, again: bool, compiler: Compiler | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Encode, with the layers compiled or not, and computed again for the gradient or not."""
        with ExitStack() as stack:
            if compiler is not None:
                stack.enter_context(replaced_forwards(self._layers, compiler))
            if again:
                stack.enter_context(replaced_forwards(self._layers, computed_again))
            stack.enter_context(self._autocast())
            features, extra = self._encode(inputs.to(self.dtype))
        return features.float(), extra

    @cached_property
    def _layers(self) -> tuple[nn.Module, ...]:
        """What is compiled, and computed again, one by one."""
        return find_layers(self.module)

    @cached_property
    def _encoder_layers(self) -> tuple[nn.Module, ...]:
        return find_encoder_layers(self.module)

    def _gradient_bytes(self, again: bool) -> int:
        """What the gradient through one image takes beside the weights."""
        side = self.frame.side
        return gradient_bytes(
            lambda inputs: self._encode_with(inputs, again, None)[0],
            self.module,
            lambda: torch.empty((1, 3, side, side), device=self.device),
        )

    def _autocast(self) -> AbstractContextManager[object]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self._autocast_dtype)

    def _exact_prompts(self) -> AbstractContextManager[object]:
        """Prompts are encoded in float32 under autocast too: in half precision a coordinate would be pixels off."""
        if self._autocast_dtype is None:
            return nullcontext()
        encoders = [part for name, part in self.module.named_children() if name == "prompt_encoder"]
        return replaced_forwards(encoders, torch.autocast(self.device.type, enabled=False))
