"""From a defence's name to the defence."""

import re
from collections.abc import Callable
from difflib import get_close_matches

from segrobust.defences.base import Chain, Defence, NoDefence
from segrobust.defences.filters import Bits, Blur, DownUp, Median, Noise, Smoothing
from segrobust.defences.jpeg import Jpeg
from segrobust.defences.resize_pad import ResizePad
from segrobust.defences.table import KINDS, NAMES, NONE
from segrobust.defences.total_variation import TotalVariation
from segrobust.errors import UsageError

_WHOLE, _REAL = r"(\d{1,9})", r"(\d{1,2}(?:\.\d{1,4})?)"

MAKERS: dict[str, tuple[str, Callable[..., Defence]]] = {
    "jpeg": (f"jpeg-q{_WHOLE}", lambda quality: Jpeg(int(quality))),
    "blur": (f"blur-s{_REAL}", lambda sigma: Blur(float(sigma))),
    "median": (f"median-{_WHOLE}", lambda side: Median(int(side))),
    "bits": (f"bits-{_WHOLE}", lambda bits: Bits(int(bits))),
    "downup": (f"downup-{_REAL}", lambda share: DownUp(float(share))),
    "resize-pad": ("resize-pad", ResizePad),
    "noise": (f"noise-s{_REAL}", lambda sigma: Noise(float(sigma))),
    "smooth": (f"smooth-s{_REAL}-n{_WHOLE}", lambda sigma, draws: Smoothing(float(sigma), int(draws))),
    "tv": (f"tv-w{_REAL}", lambda weight: TotalVariation(float(weight))),
}


def make_defence(name: str) -> Defence:
    """A defence by its name.

    Args:
        name: as ``segrobust ls defences`` writes it, with any value in its range: ``jpeg-q75``. Several with ``+``
            between them are applied in that order: ``jpeg-q75+bits-4``. ``none`` leaves the photo as it is.

    Raises:
        UsageError: no such name, a value out of its range, or a name that is written otherwise; it says what to type.
    """
    if not isinstance(name, str):
        raise UsageError(f"a defence is named by a text such as 'jpeg-q75', got {name!r}")
    if "+" not in name:
        return NoDefence() if name == NONE else _make(name)
    parts = name.split("+")
    if NONE in parts:
        raise UsageError(f"defence {name!r}: {NONE!r} is no part of a chain; leave it out")
    return Chain([_make(part) for part in parts])


def _make(name: str) -> Defence:
    """One defence that is not ``none``."""
    for kind, (pattern, maker) in MAKERS.items():
        found = re.fullmatch(pattern, name, re.ASCII)
        if found is None:
            continue
        try:
            defence = maker(*found.groups())
        except ValueError as error:
            raise UsageError(f"defence {name!r}: {error}; e.g. {KINDS[kind].names[0]!r}") from None
        if defence.name != name:  # one defence, one name: results are kept under it
            raise UsageError(f"defence {name!r} is written {defence.name!r}")
        return defence
    raise UsageError(_unknown(name))


def _unknown(name: str) -> str:
    """What to say of a name of no known form."""
    kind = next((kind for kind in KINDS if name == kind or name.startswith(f"{kind}-")), None)
    close = get_close_matches(name, NAMES, n=1, cutoff=0.5)
    nearest = close[0] if close else KINDS[kind].names[0] if kind else None
    advice = f"; did you mean {nearest!r}?" if nearest else ""
    what = f"is not of the form {KINDS[kind].form}" if kind else "is unknown"
    return f"defence {name!r} {what}{advice} (see 'segrobust ls defences')"
