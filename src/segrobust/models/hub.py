"""Weights by Hugging Face name: huggingface_hub's own cache, and its environment variables.

``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and the others mean what they always mean.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segrobust.errors import ModelError
from segrobust.models.download import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
)
"""What a model needs here; pickles are left where they are."""


def download_from_hub(name: str) -> Path:
    """Download a model's configuration and safetensors into huggingface_hub's cache; what is there is kept.

    Args:
        name: ``owner/model``.

    Returns:
        The folder of the snapshot.

    Raises:
        ModelError: there is no such name, it needs a login, it has no safetensors, or the hub cannot be reached.
        MissingError: the cache cannot be written.
    """
    return _complete(name, _snapshot(name))


def find_in_cache(name: str) -> Path:
    """The snapshot of a model in huggingface_hub's cache; nothing is downloaded.

    Raises:
        ModelError: it is not there, or not complete.
    """
    return _complete(name, _snapshot(name, local_files_only=True))


def _snapshot(name: str, **settings: Any) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED), **settings))
    except GatedRepoError:
        reason = f"its licence must be accepted at https://huggingface.co/{name}, then log in with 'hf auth login'"
    except RepositoryNotFoundError:
        reason = "the hub has no such name, or it is private: 'hf auth login'"
    except HFValidationError as error:
        reason = str(error).splitlines()[0]
    except LocalEntryNotFoundError as error:
        reason = _absent(name, error, asked=not settings)
    except HfHubHTTPError as error:
        reason = str(error).splitlines()[0]
    except OSError as error:
        with writing(Path(HF_HUB_CACHE)):
            raise error
    raise ModelError(f"cannot get {name}: {reason}")


def _absent(name: str, error: Exception, asked: bool) -> str:
    """Not in the cache, and not to be had."""
    cause = str(error.__cause__ or error).lower()
    tried = ", and HF_HUB_OFFLINE is set" if "offline" in cause else ", and the hub cannot be reached" if asked else ""
    return (
        f"it is not in huggingface_hub's cache{tried}; on a connected machine: 'segrobust models download {name}'; "
        "copy the folder that 'segrobust models path' prints there, and give its path with -m"
    )


def _complete(name: str, folder: Path) -> Path:
    weights = [file for file in folder.glob("*.safetensors") if file.exists()]
    if not (folder / "config.json").exists() or not weights:
        raise ModelError(f"{name} has no config.json with safetensors ({folder}); only such models are loaded here")
    return folder


def damaged_in_cache(name: str) -> "Iterator[tuple[Path, bool]]":
    """Every file of a model in the cache, hashed again, and whether it is damaged.

    The cache calls each file by what the hub says its hash is: sha256 for large files, git's sha1 for small ones.

    Raises:
        ModelError: it is not in the cache.
    """
    for file in sorted(find_in_cache(name).iterdir()):
        if file.is_file():
            yield file, not _is_named_by_its_hash(file.resolve())


def _is_named_by_its_hash(blob: Path) -> bool:
    """True also for a file whose name is no hash (a cache without symbolic links): there is nothing to compare with."""
    length = len(blob.name)
    if length not in (40, 64) or not all(c in "0123456789abcdef" for c in blob.name):
        return True
    digest: Any = hashlib.sha256() if length == 64 else hashlib.sha1(f"blob {blob.stat().st_size}\0".encode())
    with blob.open("rb") as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
    return bool(digest.hexdigest() == blob.name)
