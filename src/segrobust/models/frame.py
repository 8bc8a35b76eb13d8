"""The square that a model sees a photo in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """The model's input.

    Attributes:
        side: of the square, in pixels.
        mean: per channel, of pixels in [0, 1].
        std: per channel.
        stretch: the photo fills the square whatever its shape (SAM 2); otherwise it keeps its shape and is padded.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stretch: bool = False
