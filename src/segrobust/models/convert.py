"""Files of weights into safetensors, once: official SAM files into folders, pickles of whole objects into tensors."""

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segrobust.errors import MissingError, ModelError, UsageError
from segrobust.models.checkpoint import check_file, read_state, unwrap
from segrobust.models.download import writing
from segrobust.models.recognise import recognise

if TYPE_CHECKING:
    from torch import Tensor

SHARED = "prompt_encoder.shared_embedding.positional_embedding"
"""A second name for a tensor that safetensors then hold once, as transformers does."""


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        path: a folder, or a ``.safetensors`` file.
        title: of the model, for people.
        use: what to do with it, as options of the command line.
    """

    path: Path
    title: str
    use: str


def convert(file: Path, out: Path, *, trust_pickle: bool = False) -> Converted:
    """Write a file of weights as safetensors.

    SAM and SAM-HQ become a folder in transformers' layout (``config.json`` and ``model.safetensors``); everything else
    becomes one ``.safetensors`` file with the authors' names.

    Args:
        file: weights of a model that is recognised.
        out: a new folder, or a new ``.safetensors`` file.
        trust_pickle: also open a pickle, which may run any program that its maker put into it. The state dict of the
            module inside is kept, and as metadata the module's class and its ``yaml`` (ultralytics' architecture).

    Raises:
        ModelError: not weights, or of no model that is known.
        UsageError: ``out`` exists, or is a file where a folder is written (or the reverse).
        MissingError: ``out`` cannot be written, or opening the pickle needs a package that is not installed.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; name something new")
    if trust_pickle:
        state, metadata = read_trusted(file)
    else:
        state, metadata = read_state(file), {}
    found = recognise(state, file)
    as_folder = found.family in ("sam", "sam_hq")
    if as_folder != (out.suffix != ".safetensors"):
        wanted = "a folder, so name one" if as_folder else "one file, so let its name end in .safetensors"
        raise UsageError(f"{file} is {found.title}, which becomes {wanted}; got {out}")
    if as_folder:
        _write_folder(state, out)
        return Converted(out, found.title, f"-m {out}")
    _write_file(state, out, metadata)
    name = f"-m {found.name} --checkpoint {out}" if found.name else f"-m {out}"
    return Converted(out, found.title, name)


def _write_folder(state: "dict[str, Tensor]", out: Path) -> None:
    from segrobust.models.official import sam_network

    model, config = sam_network(state)
    tensors = {key: value for key, value in model.state_dict().items() if key != SHARED}
    part = out.with_name(out.name + ".part")
    with writing(out.parent):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        (part / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        _save(tensors, part / "model.safetensors", {"format": "pt"})
        part.rename(out)


def _write_file(state: "dict[str, Tensor]", out: Path, metadata: dict[str, str]) -> None:
    part = out.with_name(out.name + ".part")
    with writing(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        _save(state, part, {"format": "pt", **metadata})
        part.rename(out)


def _save(tensors: "dict[str, Tensor]", file: Path, metadata: dict[str, str]) -> None:
    from safetensors.torch import save_file

    # Tensors may be views of one another, which safetensors do not hold.
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, file, metadata)


def read_trusted(path: Path) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """The tensors of a PyTorch file that may hold whole modules; opening it may run code from it.

    Args:
        path: a file whose origin is trusted.

    Returns:
        The state dict (of the moving average ``ema`` if there is one, as ultralytics loads it), and what describes the
        module: ``class``, and ``yaml`` where it has one.

    Raises:
        ModelError: it cannot be opened, or holds no weights.
        MissingError: it needs a package that is not installed.
    """
    import torch

    check_file(path)
    if _wants(path, "ultralytics"):
        with suppress(ImportError):  # first of all our shield around it: it must not look for a network
            from segrobust.models import ultralytics_parts  # noqa: F401
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        line = "segrobust[fastsam]" if package == "ultralytics" else package
        raise MissingError(f"{path} can only be opened with {package} installed: pip install '{line}'") from None
    except Exception as error:  # whatever the code in it does
        raise ModelError(f"cannot open {path}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from None
    module = _module(content)
    if module is None:
        return unwrap(content, path), {}
    about = {"class": f"{type(module).__module__}.{type(module).__qualname__}"}
    if isinstance(getattr(module, "yaml", None), dict):
        about["yaml"] = json.dumps(module.yaml, default=str)
    return dict(module.state_dict()), about


def _wants(path: Path, package: str) -> bool:
    """Whether a pickle asks for objects of a package; False where that cannot be told."""
    import torch

    with suppress(Exception):
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        return any(name.partition(".")[0] == package for name in names)
    return False


def _module(content: Any) -> Any:
    """The module in a file's content, if it holds one."""
    from torch import nn

    inside = [content.get(key) for key in ("ema", "model")] if isinstance(content, dict) else [content]
    return next((value for value in inside if isinstance(value, nn.Module)), None)
