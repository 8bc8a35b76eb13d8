"""A model of transformers from its folder, whole or not at all."""

from typing import Any

from torch import nn

from segrobust.errors import ModelError, SegrobustError
from segrobust.models.loading import ModelFolder
from segrobust.models.shield import hide_broken_torchvision

hide_broken_torchvision()

from transformers.utils import logging as transformers_logging  # noqa: E402

SHARED_ENCODING = "shared_image_embedding.positional_embedding"
"""The positions of the image's tokens; most weights have them twice, once more in the prompt encoder."""


def load_complete(folder: ModelFolder, kind: Any) -> Any:
    """A transformers model, none of whose weights was made up because the file lacks it.

    transformers fills what is missing with random numbers and warns; an attack on such a model would measure nothing.
    The positions of the image's tokens may be missing: they are then the prompt encoder's own.

    Args:
        folder: configuration and weights.
        kind: a class of transformers of SAM's anatomy.

    Returns:
        The model, in float32.

    Raises:
        ModelError: it cannot be loaded, or the file lacks weights.
    """
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # its report of missing weights is ours to make
    try:
        model, report = folder.pretrained(kind, output_loading_info=True)
    except SegrobustError:
        raise
    except Exception as error:  # a config.json that cannot be meant fails wherever transformers first uses it
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(f"cannot load {folder.source}: config.json describes no {kind.__name__} ({reason})") from error
    finally:
        transformers_logging.set_verbosity(before)
    missing = sorted(set(report["missing_keys"]) - {SHARED_ENCODING})
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ModelError(
            f"cannot load {folder.source}: the weights lack {missing[0]!r}{more}; are they those of the config.json?"
        )
    if SHARED_ENCODING in report["missing_keys"]:
        model.shared_image_embedding = model.prompt_encoder.shared_embedding
    assert isinstance(model, nn.Module)
    return model
