"""A Python function as a segmenter: ``wrap`` from Python, ``package.module:function`` by name."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

from segrobust.errors import ModelError, UsageError
from segrobust.models.base import EverythingFirst, EverythingSettings, Segmenter
from segrobust.models.black_box import BlackBox, best_first, choose, describe, guarded, read_masks, refuse_options
from segrobust.models.options import LoadOptions
from segrobust.types import Bools, Image, Masks, Pixels, Prompts

Answer: TypeAlias = Masks | Bools | Iterable[Bools | None] | None
Function: TypeAlias = Callable[[Pixels, Prompts], Answer]
Finder: TypeAlias = Callable[[Pixels], Answer]


def wrap(
    function: Function | Finder,
    *,
    name: str | None = None,
    points: bool | None = None,
    boxes: bool | None = None,
    everything: Finder | Literal[True] | None = None,
    settings: EverythingSettings | None = None,
) -> Segmenter:
    """Any Python function as a black box that can be scored.

    What is not given is read from the function's own attributes ``points``, ``boxes`` and ``everything``, so that
    ``package.module:function`` on the command line can say the same.

    Args:
        function: called with the photo, ``(H, W, 3)`` uint8 RGB, a copy of its own, and the ``Prompts`` in its pixels.
            Answers one mask for each prompt, points first, then boxes: bool ``(n, H, W)``, or an iterable of bool
            ``(H, W)`` and None (nothing found), or ``Masks`` (which may carry predicted IoUs), or None.
        name: for tables; default ``module:function``.
        points: takes points; default yes.
        boxes: takes boxes; default yes.
        everything: a second function, called with the photo alone, that answers any number of masks; or True:
            ``function`` itself is that function, and prompts choose among its masks (a point: the best one that holds
            it; a box: the highest IoU). Default: all masks are found by asking at a grid of points.
        settings: how to ask at the grid; a black box without predicted IoUs has only the box overlap as a filter.

    Returns:
        A segmenter without gradients.

    Raises:
        UsageError: not a function, or an argument or attribute of the wrong kind.
    """
    if not callable(function):
        raise UsageError(f"wrap takes a function (image, prompts) -> masks, got {type(function).__name__}")
    label = name or _name(function)
    takes = {"points": points, "boxes": boxes}
    for kind, given in takes.items():
        takes[kind] = getattr(function, kind, True) if given is None else given
        if not isinstance(takes[kind], bool):
            raise UsageError(f"{kind} of function {label!r} must be True or False, got {takes[kind]!r}")
    finder = getattr(function, "everything", None) if everything is None else everything
    if finder is True:
        return EverythingFunction(label, function, settings)  # type: ignore[arg-type]
    if finder is None:
        return FunctionSegmenter(label, function, takes, settings)  # type: ignore[arg-type]
    if not callable(finder):
        raise UsageError(
            f"everything of function {label!r} must be a function (image) -> masks or True, got {finder!r}"
        )
    return FindingFunction(label, function, takes, settings, finder)  # type: ignore[arg-type]


def _name(function: Callable[..., object]) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


class FunctionSegmenter(BlackBox):
    """A function that answers prompts; see :func:`wrap`."""

    def __init__(
        self,
        name: str,
        function: Function,
        takes: dict[str, bool | None],
        settings: EverythingSettings | None,
        *,
        everything: bool = False,
    ) -> None:
        points, boxes = bool(takes["points"]), bool(takes["boxes"])
        super().__init__(name, points=points, boxes=boxes, everything=everything, settings=settings)
        self._function = function

    def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
        who = f"function {self.name!r}"
        return guarded(
            who, lambda: read_masks(self._function(image.pixels.copy(), prompts), image.size, len(prompts), who)
        )


class FindingFunction(FunctionSegmenter, EverythingFirst):
    """A function that answers prompts, and another that finds all masks."""

    def __init__(
        self,
        name: str,
        function: Function,
        takes: dict[str, bool | None],
        settings: EverythingSettings | None,
        finder: Finder,
    ) -> None:
        super().__init__(name, function, takes, settings, everything=True)
        self._finder = finder

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks that the second function finds, best first; the settings are for others."""
        return _find(self.name, self._finder, image)


class EverythingFunction(BlackBox, EverythingFirst):
    """A function that finds all masks; prompts choose among them."""

    def __init__(self, name: str, finder: Finder, settings: EverythingSettings | None) -> None:
        super().__init__(name, points=True, boxes=True, everything=True, settings=settings)
        self._finder = finder

    def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
        return choose(self.find_masks(image, self.everything), prompts)

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks that the function finds, best first; the settings are for others."""
        return _find(self.name, self._finder, image)


def _find(name: str, finder: Finder, image: Image) -> Masks:
    who = f"function {name!r}"
    return best_first(guarded(who, lambda: read_masks(finder(image.pixels.copy()), image.size, None, who)))


def load_function(name: str, options: LoadOptions) -> Segmenter:
    """A function by name, or a segmenter that a module made with ``wrap`` or ``wrap_http``.

    Args:
        name: ``package.module:function``. The module is looked for where Python looks, then in the current folder.
        options: nothing of them means anything to a function; the device is its own business.

    Raises:
        ModelError: the module cannot be imported, or holds no such function.
        UsageError: options that a function cannot follow.
    """
    refuse_options(name, options)
    module_name, _, attribute = name.partition(":")
    module = _import_here(module_name, name)
    found = getattr(module, attribute, None)
    if found is None:
        close = get_close_matches(attribute, vars(module), n=1)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        file = getattr(module, "__file__", None) or "a module of Python's own"
        raise ModelError(f"model {name!r}: no function {attribute!r} in {file}{advice}")
    if isinstance(found, Segmenter) and not isinstance(found, type):
        return found
    if not callable(found):
        raise ModelError(f"model {name!r} is no function but a {type(found).__name__}; see segrobust.wrap")
    return wrap(found, name=name)


def _import_here(module: str, name: str) -> Any:
    """Import a module, also from the current folder, which stays on the path: it may import its neighbours later."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that no file here hides a package
    try:
        return import_module(module)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        reason = f"no module {module!r} in {here} or on Python's path" if missing else describe(error)
        raise ModelError(f"model {name!r} cannot be imported: {reason}") from error
