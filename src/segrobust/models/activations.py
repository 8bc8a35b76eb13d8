"""What a gradient keeps in memory: counting it without computing anything, and computing it again instead.

transformers' own gradient checkpointing is not used: it is on in training mode only, where batch norms change and
dropout draws, and it covers transformers' layers alone. Here the layers of any network are found by its structure.
"""

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

Forward = Callable[..., Any]


def find_layers(network: nn.Module) -> tuple[nn.Module, ...]:
    """The layers of a network: those parts of its lists and sequences that have parts, and no further layers in them.

    A transformer's blocks, a convolutional network's residual blocks; not their single convolutions and norms.
    """
    containers = (nn.ModuleList, nn.Sequential)
    listed = [part for holder in network.modules() if isinstance(holder, containers) for part in holder]
    whole = dict.fromkeys(part for part in listed if next(part.children(), None) is not None)
    return tuple(part for part in whole if not any(inner in whole for inner in part.modules() if inner is not part))


def find_encoder_layers(network: nn.Module) -> tuple[nn.Module, ...]:
    """The layers of a network's encoder, which has one of two names in every family; the others decode."""
    names = ("vision_encoder", "image_encoder")
    return find_layers(next((part for name, part in network.named_children() if name in names), network))


@contextmanager
def replaced_forwards(layers: Sequence[nn.Module], wrap: Callable[[Forward], Forward]) -> Iterator[None]:
    """Inside the context, every layer computes ``wrap(its forward)``."""
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        vars(layer)["forward"] = wrap(layer.forward)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del vars(layer)["forward"]
            if forward is not None:  # it had been replaced already
                vars(layer)["forward"] = forward


def computed_again(forward: Forward) -> Forward:
    """A layer that keeps its input alone; whatever else its gradient needs is computed again on the way back.

    The same kernels see the same numbers, so the gradient is the same, for about a third more time (Chen et al.,
    arXiv 1604.06174).
    """
    # Nothing in a frozen network in eval mode draws, so there is no state of a generator to bring back.
    return partial(checkpoint, forward, use_reentrant=False, preserve_rng_state=False)


@contextmanager
def recorded(layers: Mapping[int, nn.Module]) -> Iterator[dict[int, Tensor]]:
    """Inside the context, what each layer gives is put down under its number, as ``(B, C, h, w)`` float32.

    A layer that is called several times in a pass leaves its last output.
    """
    seen: dict[int, Tensor] = {}

    def note(number: int, layer: nn.Module, given: object) -> None:
        output = given[0] if isinstance(given, tuple) else given
        assert isinstance(output, Tensor)
        seen[number] = channels_first(output, _normalises_last_axis(layer)).float()

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, number=number: note(number, layer, output))
        for number, layer in layers.items()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def edited(layer: nn.Module, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the context, a layer gives ``edit`` of what it computes (of the first, where it gives several)."""

    def change(_layer: nn.Module, _given: object, output: Any) -> Any:
        return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

    hook = layer.register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


def channels_first(output: Tensor, last: bool) -> Tensor:
    """A layer's output as ``(B, C, h, w)``: tokens ``(B, h * w, C)`` are laid out as a square if they fill one.

    Args:
        output: of three or four axes.
        last: of four axes the last one is the channels', not the second.
    """
    if output.ndim == 3:
        side = math.isqrt(output.shape[1])
        height = side if side * side == output.shape[1] else output.shape[1]
        return output.transpose(1, 2).reshape(*output.shape[::2], height, -1)
    return output.permute(0, 3, 1, 2) if last else output


def _normalises_last_axis(layer: nn.Module) -> bool:
    """Whether a layer works on channels that come last, as transformers do: what its layer norms normalise."""
    norms = [part for part in layer.modules() if isinstance(part, nn.LayerNorm)]
    return any(getattr(norm, "data_format", "channels_last") == "channels_last" for norm in norms)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside the context, and that are still alive.

    Attributes:
        now: alive at the moment.
        peak: the most that were alive at the same time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not _gives_views(func):
            for leaf in tree_leaves(out):
                if isinstance(leaf, Tensor):
                    self._count(leaf.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size).atexit = False

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


@cache
def _gives_views(func: Any) -> bool:
    """Whether an operator only looks at the memory of what it is given (a weight's transpose is no new memory)."""
    return any(out.alias_info is not None and not out.alias_info.is_write for out in func._schema.returns)


def gradient_bytes(encode: Callable[[Tensor], Tensor], network: nn.Module, inputs: Callable[[], Tensor]) -> int:
    """The most memory that one forward and backward pass holds at a time, beside the weights.

    Nothing is computed and next to nothing allocated: the passes run on tensors that have a shape and no content
    (PyTorch's ``FakeTensorMode``). What single kernels take for themselves is not seen.

    Args:
        encode: inputs to features, through ``network``.
        network: is as before afterwards, and keeps nothing that it may have cached on the way.
        inputs: makes the input.

    Raises:
        Exception: whatever stops the network from running without content, e.g. a branch on a value.
    """
    with _forgetting(network), torch.enable_grad(), FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        start = inputs().requires_grad_()
        torch.autograd.grad(encode(start).sum(), start)
    return int(live.peak)


@contextmanager
def _forgetting(network: nn.Module) -> Iterator[None]:
    """What the network stores on itself inside the context (positional encodings, anchors) is gone afterwards."""
    before = [(part, dict(vars(part)), dict(part._buffers)) for part in network.modules()]
    try:
        yield
    finally:
        for part, attributes, buffers in before:
            vars(part).clear()
            vars(part).update(attributes)
            part._buffers.clear()
            part._buffers.update(buffers)
            for value in attributes.values():
                if hasattr(value, "cache_clear"):  # a method with functools.lru_cache
                    value.cache_clear()
