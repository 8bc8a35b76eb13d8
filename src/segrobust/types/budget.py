"""How far an attack may go."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, cast, get_args

from segrobust.errors import BudgetError

Norm = Literal["linf", "l2", "contrast"]


@dataclass(frozen=True)
class Budget:
    """How far a perturbation may go, on the original pixels.

    Attributes:
        epsilon: in units of the pixel range, as an exact fraction (``Fraction(8, 255)``).
        norm: ``linf``: no value changes by more. ``l2``: the root of the sum of all squared changes is no more; it is
            of the whole photo, so the same number is less on a larger one. ``contrast``: as ``linf``, but on flat areas
            only a part of epsilon is allowed (``segrobust.attacks.budget.contrast_share``).
    """

    epsilon: Fraction
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        if not isinstance(self.epsilon, Fraction):
            raise BudgetError(f"epsilon must be a Fraction, got {self.epsilon!r}; use Budget.parse('8/255')")
        if self.norm not in get_args(Norm):
            raise BudgetError(f"norm {self.norm!r} is not one of {', '.join(get_args(Norm))}")
        if self.epsilon < 0 or (self.norm != "l2" and self.epsilon > 1):
            raise BudgetError(_out_of_range(str(self.epsilon)))

    @classmethod
    def parse(cls, text: "str | float | Fraction | Budget") -> "Budget":
        """Read ``8/255``, ``0.0314`` or ``8px`` (8 levels of 255); ``l2:3.0`` or ``contrast:8/255`` for other norms.

        Raises:
            BudgetError: not a number, negative, or larger than the pixel range; a bare ``8`` is told ``8/255``.
        """
        if isinstance(text, Budget):
            return text
        norm, colon, plain = str(text).strip().lower().rpartition(":")
        if colon and norm not in get_args(Norm):
            raise BudgetError(f"norm {norm!r} of epsilon {str(text)!r} is not one of {', '.join(get_args(Norm))}")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:px|/\s*255)", plain)
        try:
            value = Fraction(match[1]) / 255 if match else Fraction(plain)
        except (ValueError, ZeroDivisionError):
            raise BudgetError(f"epsilon {str(text)!r} is not a number; write it like 8/255, 0.0314 or 8px") from None
        if value < 0 or (value > 1 and norm != "l2"):
            raise BudgetError(_out_of_range(plain))
        return cls(value, cast("Norm", norm or "linf"))

    @property
    def value(self) -> float:
        """Epsilon as a float."""
        return float(self.epsilon)

    @property
    def levels(self) -> int:
        """The largest change of an 8-bit pixel value that can be inside the budget."""
        # A decimal like 0.0314 (8/255 = 0.031372...) must not lose a level to its last digit.
        return min(255, int(self.epsilon * 255 + Fraction(1, 1000)))

    def __str__(self) -> str:
        if self.norm == "l2":
            number = f"{self.value:.12g}"
            return f"l2:{number if Fraction(number) == self.epsilon else self.epsilon}"
        levels = f"{float(self.epsilon * 255):.12g}"
        exact = "e" not in levels and Fraction(levels) / 255 == self.epsilon
        plain = f"{levels}/255" if exact else str(self.epsilon)
        return plain if self.norm == "linf" else f"{self.norm}:{plain}"


def _out_of_range(text: str) -> str:
    advice = f"; did you mean {text}/255?" if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) <= 255 else ""
    return f"epsilon {text} is outside the pixel range (images are in [0, 1]){advice}"
