"""What all black boxes have in common: what they can be asked, and what counts as an answer."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch

from segrobust.errors import AnswerError, CapabilityError, SegrobustError, UsageError
from segrobust.models.base import Capabilities, EverythingSettings, Segmenter
from segrobust.models.everything_first import answer_boxes, answer_points
from segrobust.models.options import LoadOptions
from segrobust.types import RLE, Image, Masks, Prompts, encode_mask

RULES = ("single", "best")
_Result = TypeVar("_Result")


class BlackBox(Segmenter):
    """A segmenter of which only the answers are known.

    Args:
        name: for tables.
        points: takes point prompts.
        boxes: takes box prompts.
        everything: can be asked for all masks; one that takes points always can, at a grid of them.
        settings: its segment-everything settings.
        fingerprint: sha256 of the weights, where known.
    """

    def __init__(
        self,
        name: str,
        *,
        points: bool,
        boxes: bool,
        everything: bool,
        settings: EverythingSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.everything = settings or EverythingSettings()
        self.capabilities = Capabilities(gradient=False, points=points, boxes=boxes, everything=everything or points)

    @abstractmethod
    def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
        """Answers to at least one prompt, all of a kind that it takes; in order."""

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """One mask for each prompt, points first, then boxes; nothing found = empty mask.

        Args:
            image: the photo.
            prompts: in its pixels.
            rule: ``single`` or ``best``; a black box that gives one answer to a prompt gives it for both.

        Raises:
            CapabilityError: prompts of a kind that it does not take.
            AnswerError: it failed, or its answer is no masks of this photo.
        """
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
        for kind, asked in (("points", prompts.points), ("boxes", prompts.boxes)):
            if len(asked) and not getattr(self.capabilities, kind):
                raise CapabilityError(
                    f"model {self.name!r} takes no {kind}, got {len(asked)}; it can do: "
                    f"{', '.join(self.capabilities.names()) or 'nothing'}"
                )
        if not len(prompts):
            return Masks.from_rles(image.size, [])
        return self._ask(image, prompts, rule)


def choose(masks: Masks, prompts: Prompts) -> Masks:
    """Answer prompts from all masks of a photo: a point by the best mask that holds it, a box by the highest IoU.

    Args:
        masks: best first, or with predicted IoUs.
        prompts: points first, then boxes.
    """
    answers = [answer_points(masks, prompts.points, "best"), answer_boxes(masks, prompts.boxes)]
    rles = [rle for part in answers for rle in part.rles]
    return Masks.from_rles(masks.size, rles, predicted_iou=np.concatenate([part.predicted_iou for part in answers]))


def best_first(masks: Masks) -> Masks:
    """The masks that are not empty, by falling predicted IoU; those without one last, in their order."""
    there = np.flatnonzero(masks.areas > 0)
    return masks.select(there[np.argsort(-masks.predicted_iou[there], kind="stable")])


def guarded(who: str, work: Callable[[], _Result]) -> _Result:
    """The result of foreign code; whatever goes wrong in it is an error of the photo, with the black box's name.

    Args:
        who: e.g. ``function 'mine:segment'``.
        work: calls the foreign code, and may read its answer.

    Raises:
        AnswerError: it raised an exception.
    """
    try:
        return work()
    except AnswerError:
        raise
    except Exception as error:
        raise AnswerError(f"{who} failed: {describe(error)}") from error


def read_masks(answer: Any, size: tuple[int, int], count: int | None, who: str) -> Masks:
    """Check what foreign code answered.

    Args:
        answer: ``Masks``; or ``(n, H, W)`` bool; or an iterable of ``(H, W)`` bool arrays and None (nothing found),
            which is read one by one, so that a generator needs the memory of one mask; or None (nothing found at all).
        size: height and width of the photo.
        count: how many masks there must be (None: any number).
        who: for the message.

    Raises:
        AnswerError: anything else; it says what.
    """
    if isinstance(answer, Masks):
        _require(answer.size == size, f"{who} answered masks of size {answer.size} on a photo of size {size}")
        _require_count(len(answer), count, who)
        return answer
    if answer is None:
        answer = [None] * (count or 0)
    if hasattr(answer, "ndim") and answer.ndim != 3:
        raise AnswerError(f"{who} answered an array of shape {tuple(answer.shape)}; masks are (n, H, W)")
    if isinstance(answer, str | bytes | dict) or not isinstance(answer, Iterable):
        raise AnswerError(
            f"{who} answered {type(answer).__name__}; "
            "masks are a bool array (n, H, W), Masks, or an iterable of arrays (H, W) and None"
        )
    rles: list[RLE] = []
    for mask in answer:
        _require(count is None or len(rles) < count, f"{who} answered more than {count} masks to {count} prompts")
        rles.append(_read_mask(mask, size, who))
    _require_count(len(rles), count, who)
    return Masks.from_rles(size, rles)


def _read_mask(mask: Any, size: tuple[int, int], who: str) -> RLE:
    if mask is None:
        return encode_mask(np.zeros(size, np.bool_))
    dense = np.asarray(mask)
    _require(
        dense.dtype == np.bool_, f"{who} answered a mask of {dense.dtype}; masks are bool, so compare first: masks > 0"
    )
    _require(dense.shape == size, f"{who} answered a mask of shape {dense.shape} on a photo of size {size}")
    return encode_mask(dense)


def _require_count(found: int, count: int | None, who: str) -> None:
    _require(
        count is None or found == count, f"{who} answered {found} masks to {count} prompts; one for each is needed"
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AnswerError(message)


def describe(error: BaseException) -> str:
    """An exception of foreign code on one line."""
    reason = " ".join(str(error).split())
    if isinstance(error, SegrobustError) and reason:
        return reason
    return f"{type(error).__name__}: {reason[:300]}" if reason else type(error).__name__


def refuse_options(name: str, options: LoadOptions) -> None:
    """Settings that mean nothing to a black box are refused, so that no record claims them.

    Raises:
        UsageError: one of them was given.
    """
    given = {
        "checkpoint": options.checkpoint is not None,
        "autocast": options.autocast is not None,
        "compile": options.compile,
        "max_memory": options.max_memory is not None,
        "dtype": options.dtype != torch.float32,
    }
    refused = [setting for setting, is_given in given.items() if is_given]
    if refused:
        raise UsageError(f"model {name!r} is a black box and takes no {', '.join(refused)}; leave it out")
