"""ONNX files through onnxruntime: opening, and reading what they take and give."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segrobust.errors import MissingError, ModelError
from segrobust.models.black_box import describe, guarded
from segrobust.models.options import LoadOptions

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class Slot:
    """An input or output of a graph.

    Attributes:
        name: in the graph.
        dtype: numpy's type.
        shape: None where a side is not fixed.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} ({', '.join('?' if side is None else str(side) for side in self.shape)})"


class Session:
    """An ONNX file, ready to run.

    Args:
        file: its path.
        options: the device.

    Raises:
        MissingError: onnxruntime is not installed.
        ModelError: the file cannot be opened, or the device not be used.
    """

    def __init__(self, file: Path, options: LoadOptions) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingError(f"{file} needs onnxruntime: pip install 'segrobust[onnx]' ({error})") from error
        if not file.is_file():
            raise ModelError(f"cannot open {file}: no such file")
        provider = "CPUExecutionProvider" if options.device == "cpu" else "CUDAExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise ModelError(
                f"this onnxruntime cannot use device {options.device!r}; it has "
                f"{', '.join(onnxruntime.get_available_providers())}; use --device cpu"
            )
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4  # what goes wrong is raised; nothing else is for the terminal
        settings.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(str(file), settings, [provider])
        except Exception as error:
            raise ModelError(f"cannot open {file}: {describe(error)}") from error
        self.file = file
        self.inputs = {slot.name: slot for slot in map(self._slot, self._session.get_inputs())}
        self.outputs = {slot.name: slot for slot in map(self._slot, self._session.get_outputs())}

    def _slot(self, argument: Any) -> Slot:
        if argument.type not in DTYPES:
            raise ModelError(f"{self.file}: {argument.name!r} is a {argument.type}, known are {', '.join(DTYPES)}")
        shape = tuple(side if isinstance(side, int) else None for side in argument.shape)
        return Slot(argument.name, np.dtype(DTYPES[argument.type]), shape)

    def __str__(self) -> str:
        found = {"inputs": self.inputs, "outputs": self.outputs}
        return "; ".join(f"{what}: {', '.join(map(str, slots.values()))}" for what, slots in found.items())

    def refuse(self, reason: str) -> ModelError:
        """The error of a graph that cannot be driven: why, and what was found in it, on one line."""
        return ModelError(f"cannot use {self.file}: {reason}; it has {self} (see docs/black-boxes.md)")

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph; what is fed is brought to the inputs' types.

        Raises:
            AnswerError: it fails.
        """
        typed = {name: np.ascontiguousarray(value, self.inputs[name].dtype) for name, value in feeds.items()}
        answer: list[NDArray[Any]] = guarded(str(self.file), lambda: self._session.run(list(outputs), typed))
        return answer

    def digest(self) -> str:
        """sha256 of the file and of the weights that may lie beside it."""
        whole = hashlib.sha256()
        for suffix in ("", ".data", "_data"):
            part = self.file.with_name(self.file.name + suffix)
            if part.is_file():
                with part.open("rb") as stream:
                    whole.update(hashlib.file_digest(stream, "sha256").digest())
        return whole.hexdigest()


@dataclass(frozen=True)
class PhotoSlot:
    """How a graph takes a photo.

    Attributes:
        slot: the input.
        size: (height, width) it must have; None: any.
        channels_last: (H, W, 3), not (3, H, W).
    """

    slot: Slot
    size: tuple[int, int] | None
    channels_last: bool

    @classmethod
    def of(cls, session: Session, name: str = "image") -> "PhotoSlot":
        """The input called ``name``, or the only one there is.

        Raises:
            ModelError: no such input, or one that takes no RGB photo.
        """
        slot = session.inputs.get(name) or (next(iter(session.inputs.values())) if len(session.inputs) == 1 else None)
        if slot is None:
            raise session.refuse(f"no input is called {name!r}")
        if len(slot.shape) not in (3, 4) or (len(slot.shape) == 4 and slot.shape[0] not in (1, None)):
            raise session.refuse(f"input {slot.name!r} must take one photo, (1, 3, H, W), (1, H, W, 3) or (H, W, 3)")
        sides = slot.shape[-3:]
        if 3 not in (sides[0], sides[2]):
            raise session.refuse(f"input {slot.name!r} must have three channels, first or last")
        channels_last = sides[0] != 3
        height, width = sides[:2] if channels_last else sides[1:]
        if (height is None) != (width is None):
            raise session.refuse(f"input {slot.name!r} must fix height and width, or neither")
        if slot.dtype.kind not in "fu":
            raise session.refuse(f"input {slot.name!r} must be uint8 or float")
        size = None if height is None or width is None else (height, width)
        return cls(slot, size, channels_last)

    def feed(self, pixels: torch.Tensor) -> dict[str, NDArray[Any]]:
        """What to feed: pixels ``(3, H, W)`` in the input's own range; whole numbers are rounded."""
        array: NDArray[Any] = pixels.detach().cpu().numpy()
        if self.slot.dtype.kind == "u":
            array = array.round().clip(0, 255)
        if self.channels_last:
            array = array.transpose(1, 2, 0)
        return {self.slot.name: array if len(self.slot.shape) == 3 else array[None]}
