"""From a name, a file, a folder, an address or a function to a segmenter. Importing this module must stay cheap."""

import re
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from segrobust.errors import MissingError, ModelError, UsageError
from segrobust.models.ensemble_names import check_rule, members_of, rule_of
from segrobust.models.options import LoadOptions, parse_memory, pick_autocast, pick_device, pick_dtype
from segrobust.models.plugins import STATE, load_plugin, plugin_entries
from segrobust.models.table import ENTRIES, ModelEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from segrobust.models.base import Segmenter

    Loader = Callable[[str, LoadOptions], Segmenter]

CHECKPOINTS = (".pth", ".pt", ".safetensors")


@cache
def entries() -> tuple[ModelEntry, ...]:
    """Every model that :func:`load` knows by name: ours, then those of installed plug-ins.

    Raises:
        ModelError: a plug-in claims a name that is taken.
    """
    return (*ENTRIES, *plugin_entries(ENTRIES))


def find_entry(name: str) -> ModelEntry | None:
    """The table's line of a name, if it has one."""
    return next((entry for entry in entries() if entry.name == name), None)


def provenance(name: str) -> dict[str, str | None]:
    """Licence and family of a model, where known; of an ensemble those of its members, each once."""
    known = [entry for entry in map(find_entry, members_of(name) or (name,)) if entry is not None]
    licences, families = (dict.fromkeys(getattr(entry, key) for entry in known) for key in ("licence", "family"))
    return {"licence": "; ".join(licences) or None, "family": "; ".join(families) or None}


def load(
    name: str,
    *,
    device: str = "auto",
    dtype: "str | torch.dtype" = "float32",
    autocast: "str | torch.dtype | None" = None,
    max_memory: str | int | None = None,
    compile: bool = False,
    checkpoint: str | Path | None = None,
) -> "Segmenter":
    """Load a segmenter.

    Args:
        name: a name from ``segrobust ls models``; any Hugging Face name of a SAM, SAM-HQ, SAM 2 or SAM 3; a folder
            (``config.json`` and ``model.safetensors``); a file of weights that is recognised by its keys; an ONNX file
            (``model.onnx``) or a pair (``encoder.onnx,decoder.onnx``); an HTTP address; or a Python function
            (``package.module:function``). Several white boxes with ``+`` between them are an ensemble, see
            ``models.ensemble``; a rule may follow: ``nano+nano-hiera@alternate``.
        device: ``auto`` (CUDA, then MPS, then CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``float32``, ``bfloat16`` or ``float16`` for weights and activations.
        autocast: ``bfloat16`` or ``float16``: weights stay float32, products are computed in this type.
        max_memory: what the process may hold on the device during a gradient step, in all, e.g. ``6GiB`` (None: what is
            free); activations that do not fit are computed again instead of kept.
        compile: compile the encoder's layers with ``torch.compile``.
        checkpoint: a file of weights for the named model, instead of where they are looked for.

    Raises:
        ModelError: the name is unknown, or the weights are not here.
        MissingError: an optional dependency is not installed.
        UsageError: a setting that cannot be meant.
    """
    if members_of(name):
        settings = {"device": device, "dtype": dtype, "autocast": autocast, "max_memory": max_memory}
        return _load_together(name, checkpoint, settings | {"compile": compile})
    loader = _find_loader(name)
    kind = pick_dtype(dtype)
    options = LoadOptions(
        device=pick_device(device),
        dtype=kind,
        autocast=pick_autocast(autocast, kind),
        max_memory=parse_memory(max_memory),
        compile=compile,
        checkpoint=None if checkpoint is None else Path(checkpoint),
    )
    entry = find_entry(name)
    if entry is not None and entry.state == STATE:
        return load_plugin(entry, options)
    return _import(loader, name)(name, options)


def _load_together(name: str, checkpoint: object, settings: dict[str, Any]) -> "Segmenter":
    """The ensemble of a name.

    Raises:
        UsageError: a checkpoint is given, or a model is named twice.
        ModelError: the rule or a member is unknown.
    """
    members, rule = members_of(name), rule_of(name)
    check_rule(rule)
    if checkpoint is not None:
        raise UsageError(f"a checkpoint is of one model, and {name!r} names {len(members)}")
    if len(set(members)) < len(members):
        raise UsageError(f"{name!r} names a model twice")
    for member in members:
        _find_loader(member)  # an unknown name is told before anything is loaded
    loaded = [load(member, **settings) for member in members]
    from segrobust.models.ensemble import Ensemble

    return Ensemble(loaded, rule)


def _find_loader(name: str) -> str:
    """``module:function`` that makes a segmenter of this name."""
    entry = find_entry(name)
    if entry is not None:
        return entry.loader
    if re.match(r"https?://", name):
        return "http:load_http"
    if name.endswith(".onnx"):
        return "onnx:load_onnx"
    path = Path(name)
    if path.is_dir():
        return "loading:load_folder"
    if path.suffix in CHECKPOINTS:
        return "official:load_file"
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        return "functions:load_function"
    known = [entry.name for entry in entries()]
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not get_close_matches(name, known, n=1, cutoff=0.9)
    if on_hub:
        return "loading:load_hub"
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"; did you mean {close[0]!r}?" if close else ""
    raise ModelError(f"unknown model {name!r}{advice} (a name from 'segrobust ls models', a file, or a folder)")


def _import(loader: str, name: str) -> "Loader":
    """The function behind ``module:function`` of this package.

    Raises:
        MissingError: what it needs is not installed.
    """
    module, _, function = loader.partition(":")
    entry = find_entry(name)
    try:
        home = import_module(f"{__package__}.{module}")
    except ImportError as error:
        extra = f"; it needs an extra: pip install 'segrobust[{entry.extra}]'" if entry and entry.extra else ""
        raise MissingError(f"model {name!r} cannot be loaded: {error}{extra}") from error
    return cast("Loader", getattr(home, function))
