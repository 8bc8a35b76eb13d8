"""Whether a gradient step fits into memory, and what to do when it does not."""

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from segrobust.errors import MissingError
from segrobust.models import machine

log = logging.getLogger(__name__)

GIB = 2**30

TOGETHER = 4 * GIB
"""Views go through the encoder together while their gradient takes no more than this on a CPU: beyond it a larger batch
gains no speed. A constant, not what happens to be free: another batch changes the last digits of a gradient."""

SHARE = 0.8
"""The same elsewhere: as many views go together as fit into this share of the device's whole memory."""

GENEROUS = 20
"""No network for photos of up to 256 px keeps more than this many times its weights for the gradient through one photo
(`nano`: once). Measuring takes seconds, so one that would fit even then is not measured."""

SLACK = 1.6
"""What kernels take for themselves and what the allocator cannot reuse, beside the tensors that are counted: a process
that computes the gradient of SAM-B, L or H on a CPU grew by 1.22 to 1.52 times the count (benchmarks/full_size.py)."""


@dataclass(frozen=True)
class Need:
    """Bytes that the gradient through one image takes beside the weights.

    Attributes:
        kept: if everything that the way back needs is kept.
        again: if the layers keep their inputs alone, and compute the rest again.
    """

    kept: float
    again: float


@dataclass(frozen=True)
class Plan:
    """How the views of a gradient step go through the encoder.

    Attributes:
        at_a_time: how many together.
        again: activations are computed again instead of kept.
        fits: there is memory for it.
    """

    at_a_time: int
    again: bool
    fits: bool


def make_plan(views: int, need: Need, together: float, room: float) -> Plan:
    """Fit the views of a gradient step into memory.

    How many go together depends on constants alone, so that the numbers of a run do not depend on who else uses the
    machine; computing activations again changes no number, so that depends on what is free. Only if that is not
    enough, fewer views go together than the constants say.

    Args:
        views: in a step.
        need: of one view.
        together: bytes that views which go together may take, see ``TOGETHER``.
        room: bytes that there are.
    """
    at_a_time = max(1, min(views, int(together // need.kept)))
    if at_a_time * need.kept <= room:
        return Plan(at_a_time, again=False, fits=True)
    fewer = max(1, min(at_a_time, int(room // need.again)))
    return Plan(fewer, again=True, fits=fewer * need.again <= room)


def generous_bound(network: nn.Module, side: int) -> float:
    """Bytes that the gradient through one image surely fits into; far too many for a large input.

    Args:
        network: with its weights.
        side: of its square input, in pixels; attention between all tokens grows with its fourth power.
    """
    weights = sum(weight.nbytes for weight in network.parameters())
    return GENEROUS * weights * max(1.0, side / 256) ** 4


class GradientMemory:
    """Plans the gradient steps of one model; measures what they need when it is first asked.

    Args:
        name: of the model, for messages.
        device: where it is.
        limit: bytes that the process may take on the device in all (None: what is free).
        measure: bytes that the gradient through one image takes, activations kept (False) or computed again (True).
        bound: more bytes than that, roughly, but at once; see :func:`generous_bound`.
    """

    def __init__(
        self,
        name: str,
        device: torch.device,
        limit: int | None,
        measure: Callable[[bool], int],
        bound: Callable[[], float],
    ) -> None:
        self._name, self._device, self._limit = name, device, limit
        self._measure, self._bound = measure, bound
        self._plans: dict[int, Plan] = {}

    @cached_property
    def need(self) -> Need:
        """Of one image. A network that cannot be measured is taken to need all there is."""
        try:
            kept, again = self._measure(False), self._measure(True)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            log.warning("%s: cannot tell how much memory a gradient needs (%s); saving all it can", self._name, reason)
            return Need(float("inf"), 1)
        return Need(SLACK * kept, SLACK * again)

    def plan(self, views: int) -> Plan:
        """The plan for so many views; made once, since memory that was used looks used afterwards.

        Raises:
            MissingError: they do not fit into the limit that was asked for.
        """
        if views not in self._plans:
            wider = [plan for plan in self._plans.values() if plan.at_a_time >= views]
            self._plans[views] = replace(wider[0], at_a_time=views) if wider else self._make(views)
        return self._plans[views]

    def _make(self, views: int) -> Plan:
        together = TOGETHER if self._device.type == "cpu" else SHARE * whole_memory(self._device)
        room = free_memory(self._device)
        if self._limit is not None:
            together = min(together, self._limit)
            room = min(room, self._limit - used_memory(self._device))
        if views * self._bound() <= min(together, room):
            return Plan(views, again=False, fits=True)
        plan = make_plan(views, self.need, together, room)
        words = (
            f"{self._name}: the gradient of a view takes {self.need.kept / GIB:.2f} GiB beside the weights, or "
            f"{self.need.again / GIB:.2f} GiB with activations computed again; there are {room / GIB:.2f} GiB"
        )
        if plan.fits:
            log.info("%s: %d of %d views at a time, again: %s", words, plan.at_a_time, views, plan.again)
        elif self._limit is None:
            log.warning("%s; trying all the same", words)
        else:
            enough = self._limit - room + self.need.again
            raise MissingError(
                f"{words} of a limit of {self._limit / GIB:.2f} GiB; use --max-memory {enough / GIB + 0.1:.1f}GiB"
            )
        return plan


def whole_memory(device: torch.device) -> float:
    """Bytes of memory that a CUDA or MPS device has."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    return float(torch.mps.recommended_max_memory())


def free_memory(device: torch.device) -> float:
    """Bytes that this process can still take on a device, without swapping; infinity where the system does not say."""
    if device.type == "cuda":
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + reusable)
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    main = machine.memory()
    return float("inf") if main is None else float(main.available)


def used_memory(device: torch.device) -> float:
    """Bytes that this process holds on a device now."""
    if device.type == "cuda":
        return float(torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.driver_allocated_memory())
    return resident_memory()


def resident_memory() -> float:
    """Bytes of main memory that this process holds now; where the system does not tell, the most it has held."""
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return peak_memory()


def peak_memory() -> float:
    """The most bytes of main memory that this process has held; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)
