"""Weights that are single files: where each comes from, what is known of it, and where it lies on this machine.

Nothing is downloaded here; ``segrobust models download NAME`` does that (see ``download``).
"""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from segrobust.errors import ModelError

_SAM = "https://dl.fbaipublicfiles.com/segment_anything/"
_ULTRALYTICS = "https://github.com/ultralytics/assets/releases/download/v8.3.0/"


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights, as its authors publish it.

    Attributes:
        name: of the model, as in ``segrobust ls models``.
        file: its name here.
        urls: where it is, tried in order; https.
        page: where a person finds it.
        licence: of the weights.
        size: bytes; None = not known.
        sha256: None = not known.
        digest: hexadecimal digits with which the authors' file name says its hash begins; empty = none.
        member: the file inside a zip archive that ``urls`` lead to; empty = they lead to the file itself.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    page: str
    licence: str
    size: int | None = None
    sha256: str | None = None
    digest: str = ""
    member: str = ""

    @property
    def converted(self) -> str:
        """The file's name after ``segrobust models convert``: the same weights without pickle."""
        return f"{Path(self.file).stem}.safetensors"


def _sam(name: str, digest: str, size: int) -> WeightsFile:
    file = f"{name}_{digest}.pth"
    page = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
    return WeightsFile(name, file, (_SAM + file,), page, "Apache-2.0", size, digest=digest)


def _efficient_sam(name: str, suffix: str = "") -> WeightsFile:
    file = f"{name}.pt"
    url = f"https://github.com/yformer/EfficientSAM/raw/main/weights/{file}{suffix}"
    page = "https://github.com/yformer/EfficientSAM#model"
    return WeightsFile(name, file, (url,), page, "Apache-2.0", member=file if suffix else "")


def _fast_sam(name: str) -> WeightsFile:
    page = "https://github.com/CASIA-IVA-Lab/FastSAM#model-checkpoints"
    return WeightsFile(name, f"{name}.pt", (f"{_ULTRALYTICS}{name}.pt",), page, "AGPL-3.0")


FILES: tuple[WeightsFile, ...] = (
    _sam("sam_vit_b", "01ec64", 375_042_383),
    _sam("sam_vit_l", "0b3195", 1_249_524_607),
    _sam("sam_vit_h", "4b8939", 2_564_550_879),
    WeightsFile(
        "mobile_sam",
        "mobile_sam.pt",
        ("https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",),
        "https://github.com/ChaoningZhang/MobileSAM",
        "Apache-2.0",
    ),
    _efficient_sam("efficient_sam_vitt"),
    _efficient_sam("efficient_sam_vits", ".zip"),
    _fast_sam("FastSAM-s"),
    _fast_sam("FastSAM-x"),
)


def cache_folder() -> Path:
    """Where downloaded weights lie: ``$SEGROBUST_CACHE/weights``, else ``$XDG_CACHE_HOME/segrobust/weights``.

    Without either variable: ``~/.cache/segrobust/weights``. It need not exist.
    """
    if own := os.environ.get("SEGROBUST_CACHE"):
        return Path(own).expanduser() / "weights"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "segrobust" / "weights"


def weights_file(name: str) -> WeightsFile:
    """What is known of the weights of a model.

    Args:
        name: e.g. ``sam_vit_b``; the file's own name (``sam_vit_b_01ec64.pth``) means the same.

    Raises:
        ModelError: no model of this name has a file of its own.
    """
    for file in FILES:
        if name in (file.name, file.file):
            return file
    known = [file.name for file in FILES]
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"did you mean {close[0]!r}?" if close else f"those that have: {', '.join(known)}"
    raise ModelError(f"no file of weights is known for {name!r}; {advice}")


def locate(name: str) -> Path:
    """The file with a named model's weights on this machine; a converted one is preferred.

    Args:
        name: see :func:`weights_file`.

    Raises:
        ModelError: it is not here; says what to type on a connected machine, and where to put the file.
    """
    known, folder = weights_file(name), cache_folder()
    for file in (folder / known.converted, folder / known.file):
        if file.is_file():
            return file
    raise ModelError(
        f"the weights of {known.name} are not here; on a connected machine: 'segrobust models download {known.name}'; "
        f"or put {known.file} into {folder}, or name it with --checkpoint"
    )
