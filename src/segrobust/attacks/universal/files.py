"""Universal perturbations as files: the numbers (``.npy``), a picture of them (``.png``), and the card (``.json``)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segrobust.attacks.universal.fit import FITS, Fit, fitted
from segrobust.errors import MissingError, UsageError
from segrobust.io.files import atomic_write_bytes, atomic_write_text
from segrobust.io.images import write_png
from segrobust.types import Budget

SCHEMA = "segrobust.universal/1"
SUFFIX = ".npy"


@dataclass(frozen=True, eq=False)
class Universal:
    """One perturbation for all photos.

    Attributes:
        pattern: ``(3, S, S)`` float32, in units of the pixel range; no value is larger than epsilon.
        epsilon: the budget, as it is written.
        fit: how it comes to a photo's size.
        card: what it is and how it was made, as plain values.
    """

    pattern: NDArray[np.float32]
    epsilon: str
    fit: Fit
    card: Mapping[str, Any]

    def __post_init__(self) -> None:
        p = self.pattern
        if p.dtype != np.float32 or p.ndim != 3 or p.shape[0] != 3 or p.shape[1] != p.shape[2] or not p.size:
            raise UsageError(f"a perturbation is float32 (3, S, S), got {p.dtype} {p.shape}")
        budget = Budget.parse(self.epsilon)
        if budget.norm != "linf" or not budget.epsilon:
            raise UsageError(f"a perturbation has an epsilon under L-infinity, e.g. 8/255; got {self.epsilon!r}")
        if self.fit not in FITS:
            raise UsageError(f"fit {self.fit!r} is not one of {', '.join(FITS)}")
        if not np.isfinite(p).all() or np.abs(p).max() > np.float32(budget.value):
            raise UsageError(f"the perturbation's largest value is {np.abs(p).max() * 255:.4g}/255, not {self.epsilon}")

    def unit(self, size: tuple[int, int]) -> Tensor:
        """The perturbation on a photo of a size (height, width), over epsilon: ``(1, 3, H, W)`` in [-1, 1]."""
        pattern = torch.from_numpy(self.pattern.copy())[None] / Budget.parse(self.epsilon).value
        return fitted(pattern, size, self.fit).clamp_(-1, 1)


def save_universal(file: Path | str, universal: Universal) -> Path:
    """Write ``file`` and, beside it, the picture and the card.

    The picture shows epsilon as white, its negative as black, and no change as grey. The card is written last and holds
    the sha256 of ``file``, so that the two belong together.

    Args:
        file: ends in ``.npy``; missing folders are made.
        universal: the perturbation.

    Returns:
        ``file``.

    Raises:
        UsageError: another suffix.
        MissingError: the folder cannot be written.
    """
    path = _npy(file)
    buffer = BytesIO()
    np.save(buffer, universal.pattern, allow_pickle=False)
    data = buffer.getvalue()
    share = universal.pattern / np.float32(Budget.parse(universal.epsilon).value)
    picture = np.rint(127.5 + 127.5 * share.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)
    atomic_write_bytes(path, data)
    write_png(path.with_suffix(".png"), picture)
    head = {"schema": SCHEMA, "file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    card = head | {"epsilon": universal.epsilon, "fit": universal.fit} | dict(universal.card)
    atomic_write_text(path.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return path


def read_universal(file: Path | str) -> Universal:
    """Read a perturbation and its card.

    Raises:
        UsageError: another suffix, a damaged file, a card that is missing, damaged or of another file, or values that
            are larger than the card's epsilon.
        MissingError: no such file.
    """
    path = _npy(file)
    data, card = _bytes(path, "a universal perturbation"), _card(path.with_suffix(".json"))
    if card.get("sha256") != hashlib.sha256(data).hexdigest():
        raise UsageError(f"{path.with_suffix('.json')} is the card of another perturbation: {path} has another sha256")
    try:
        pattern = np.load(BytesIO(data), allow_pickle=False)
        return Universal(pattern, str(card["epsilon"]), cast("Fit", card["fit"]), card)
    except (ValueError, EOFError, KeyError, UsageError) as error:
        raise UsageError(f"{path}: no universal perturbation: {' '.join(str(error).split())}") from None


def _npy(file: Path | str) -> Path:
    path = Path(file)
    if path.suffix != SUFFIX:
        raise UsageError(f"a universal perturbation is a {SUFFIX} file, got {str(file)!r}")
    return path


def _bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingError(f"cannot read {path}, {what}: {error.strerror or error}") from None


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(_bytes(path, "the card of a universal perturbation"))
    except ValueError:
        card = None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise UsageError(f"{path} is no card of a universal perturbation (schema {SCHEMA})")
    return card


@dataclass(frozen=True)
class FromFile:
    """The start that is a universal perturbation: ``attacks.recipes.base.Pattern``.

    Attributes:
        file: as it was named; empty: none was.
        sha256: of the file.
        recipe: how it was trained.
        model: on which model.
        epsilon: with which budget.
        fit: how it comes to a photo's size.
    """

    file: str = ""
    sha256: str = ""
    recipe: str = ""
    model: str = ""
    epsilon: str = ""
    fit: str = ""

    @classmethod
    def of(cls, file: str) -> "FromFile":
        """Of a file, which is read to see that it is one.

        Raises:
            UsageError: as :func:`read_universal`.
            MissingError: no such file.
        """
        found = read_universal(file)
        told = {key: str(found.card.get(key, "")) for key in ("sha256", "recipe", "model")}
        return cls(file, epsilon=found.epsilon, fit=found.fit, **told)

    def require_ready(self) -> None:
        """See ``Pattern``.

        Raises:
            UsageError: no file was named.
        """
        if not self.file:
            raise UsageError("the attack 'universal' needs the file of a perturbation: --universal FILE")

    def unit(self, size: tuple[int, int]) -> Tensor:
        """See ``Pattern``.

        Raises:
            UsageError: no file was named, or it is another one by now.
        """
        self.require_ready()
        found = read_universal(self.file)
        if found.card["sha256"] != self.sha256:
            raise UsageError(f"{self.file} has changed since the attack was set up")
        return found.unit(size)
