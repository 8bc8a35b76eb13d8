"""Models of other packages, registered in the entry-point group ``segrobust.models``. Importing this stays cheap."""

from collections.abc import Iterable
from functools import reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from segrobust.errors import ModelError, SegrobustError
from segrobust.models.options import LoadOptions
from segrobust.models.table import ModelEntry

if TYPE_CHECKING:
    from segrobust.models.base import Segmenter

PLUGINS = "segrobust.models"
"""Entry-point group: the name of an entry point is the model's name, its object a function ``(name, options)``."""
STATE = "plug-in"


def plugin_entries(ours: Iterable[ModelEntry]) -> tuple[ModelEntry, ...]:
    """The models of installed plug-ins; nothing of them is imported.

    Args:
        ours: the models that are there already.

    Raises:
        ModelError: a plug-in claims a name that is taken, or names no function.
    """
    owners = {entry.name: "segrobust itself" for entry in ours}
    found = []
    for point in entry_points(group=PLUGINS):
        who = _who(point)
        if point.name in owners:
            raise ModelError(
                f"model {point.name!r} of {who} has a name that is taken by {owners[point.name]}; "
                "uninstall it, or rename its entry point"
            )
        owners[point.name] = who
        found.append(ModelEntry(point.name, who, 0, (), "see the plug-in", who, _loader(point), STATE))
    return tuple(found)


def _who(point: EntryPoint) -> str:
    return f"plug-in {point.dist.name}" if point.dist else "plug-in"


def _loader(point: EntryPoint) -> str:
    match = EntryPoint.pattern.match(point.value)
    if match is None or not match["attr"]:
        raise ModelError(f"model {point.name!r} of {_who(point)}: {point.value!r} must be module:function")
    return f"{match['module']}:{match['attr']}"


def load_plugin(entry: ModelEntry, options: LoadOptions) -> "Segmenter":
    """Let a plug-in load its model.

    Raises:
        ModelError: it cannot be imported, fails, or gives something that is no segmenter.
    """
    from segrobust.models.base import Segmenter
    from segrobust.models.black_box import describe

    who = f"model {entry.name!r} of {entry.source}"
    module, _, path = entry.loader.partition(":")
    try:
        function: Any = reduce(getattr, path.split("."), import_module(module))
    except (Exception, SystemExit) as error:
        raise ModelError(f"{who} cannot be imported: {describe(error)}") from error
    try:
        segmenter: object = function(entry.name, options)
    except SegrobustError:
        raise
    except Exception as error:
        raise ModelError(f"{who} cannot be loaded: {describe(error)}") from error
    if not isinstance(segmenter, Segmenter):
        kind = type(segmenter).__name__
        raise ModelError(f"{who} gives a {kind}, which is no segmenter (segrobust.models.base.Segmenter)")
    return segmenter
