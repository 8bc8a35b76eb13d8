"""What works on this machine, what does not, and what mends it: everything ``segrobust doctor`` says.

Packages are tried in processes of their own (``probe``), so one that takes its process down takes nothing else along.
Nothing here goes to the network.
"""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import segrobust
from segrobust.models import probe
from segrobust.models.extras import EXTRAS, REQUIRED, Extra
from segrobust.models.machine import Cache, Memory, caches, memory, processors
from segrobust.models.probe import GRADIENT
from segrobust.models.shield import describe_mismatch, mend, version

Answer = dict[str, Any]

PATIENCE = 300.0
"""Seconds a process may take; importing torch can take minutes on a busy machine."""

OFFLINE = {"HF_HUB_OFFLINE": "1", "YOLO_OFFLINE": "true"}  # ultralytics looks for a network when it is imported
VARIABLES = (
    "HF_HUB_OFFLINE", "HF_ENDPOINT", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
    "PYTORCH_ENABLE_MPS_FALLBACK",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """How one thing fares.

    Attributes:
        name: a package, an extra, or ``gradient``: the whole way, tried once.
        state: ``works``, ``absent`` (not installed, and not needed) or ``fails``.
        version: where there is one.
        detail: what it is for, or what went wrong; one line.
        mend: what to type; empty where nothing is wrong.
    """

    name: str
    state: str
    version: str = ""
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Environment:
    """Everything ``segrobust doctor`` says.

    Attributes:
        segrobust: version.
        python: version, and the interpreter's path.
        platform: operating system and processor.
        required: what must work, in the order it is tried.
        torchvision: not needed; one that fails is kept away from transformers.
        extras: what is optional.
        devices: ``device``, ``name``, ``free`` and ``total`` bytes of each CUDA or MPS device.
        built_for: ``cuda`` and ``rocm`` version of this torch; null without.
        memory: main memory.
        processors: how many this process may run on.
        threads: how many torch uses.
        caches: folders with weights.
        variables: environment variables that change what happens, where set.
    """

    segrobust: str
    python: str
    platform: str
    required: tuple[Finding, ...]
    torchvision: Finding
    extras: tuple[Finding, ...]
    devices: tuple[dict[str, Any], ...]
    built_for: dict[str, str | None]
    memory: Memory | None
    processors: int
    threads: int | None
    caches: tuple[Cache, ...]
    variables: dict[str, str]

    @property
    def works(self) -> bool:
        """Whether all that is required does; a broken extra or torchvision leaves it so."""
        return all(finding.state == "works" for finding in self.required)


def examine() -> Environment:
    """Try everything; takes about as long as importing torch."""
    with ThreadPoolExecutor(3) as pool:  # threads only wait for the processes
        required = pool.submit(try_packages, [*REQUIRED, GRADIENT])
        torchvision = pool.submit(_examine_torchvision)
        extras = tuple(pool.map(examine_extra, EXTRAS))
    answers = required.result()
    torch = answers["torch"]
    return Environment(
        segrobust=segrobust.__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        required=tuple(_required(name, answer, answers) for name, answer in answers.items()),
        torchvision=torchvision.result(),
        extras=extras,
        devices=tuple(torch.get("devices", ())),
        built_for=torch.get("built_for", {}),
        memory=memory(),
        processors=processors(),
        threads=torch.get("threads"),
        caches=caches(),
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def try_packages(names: Sequence[str]) -> dict[str, Answer]:
    """Import packages one after the other, in one process of their own.

    Args:
        names: what to import, or ``gradient``.

    Returns:
        For each name ``state``, and ``detail`` if it fails. Those after one that took the process down fail too.
    """
    command = [sys.executable, "-P", "-m", probe.__name__, *names]
    with tempfile.TemporaryDirectory() as settings:
        environment = os.environ | OFFLINE | {"YOLO_CONFIG_DIR": settings}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
            said, end = done.stdout, _end(done.returncode)
        except subprocess.TimeoutExpired as expired:
            said, end = expired.stdout or b"", f"took more than {PATIENCE:.0f} s"
    answers: dict[str, Answer] = {}
    for line in said.decode("utf-8", "replace").splitlines():
        answer = json.loads(line)
        answers[answer.pop("name")] = answer
    for name in names:
        if name not in answers:
            answers[name] = {"state": "fails", "detail": "not tried: something before it took the process down"}
        elif answers[name]["state"] == "begun":
            answers[name] = {"state": "fails", "detail": f"took its process down ({end})"}
    return answers


def _end(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _required(name: str, answer: Answer, others: Mapping[str, Answer]) -> Finding:
    if name == GRADIENT:
        return _gradient(answer, others)
    found = answer.get("version") or version(REQUIRED[name]) or ""
    if answer["state"] == "works":
        return Finding(name, "works", found)
    again = "" if _is_missing(name) else "--force-reinstall --no-deps "
    return Finding(name, "fails", found, answer["detail"], f"pip install {again}'{_requirement(REQUIRED[name])}'")


def _gradient(answer: Answer, others: Mapping[str, Answer]) -> Finding:
    if answer["state"] == "works":
        return Finding(GRADIENT, "works", detail="the embedded model loads, and a gradient reaches the pixels")
    broken = [name for name, other in others.items() if other["state"] != "works" and name != GRADIENT]
    again = "pip install --force-reinstall --no-deps -e .  (in a checkout of segrobust)"
    return Finding(GRADIENT, "fails", "", answer["detail"], f"mend {', '.join(broken)} first" if broken else again)


def _examine_torchvision() -> Finding:
    if _is_missing("torchvision"):
        return Finding("torchvision", "absent", detail="not needed")
    answer = try_packages(["torch", "torchvision"])["torchvision"]
    if answer["state"] == "works":
        return Finding("torchvision", "works", answer["version"], "not needed")
    detail = f"{describe_mismatch(answer['detail'])}; segrobust goes on without it"
    return Finding("torchvision", "fails", version("torchvision") or "", detail, mend())


def examine_extra(extra: Extra) -> Finding:
    """Try an optional package in a process of its own, if it is installed at all."""
    install = f"pip install 'segrobust[{extra.name}]'"
    if _is_missing(extra.package):
        return Finding(extra.name, "absent", detail=extra.purpose, mend=install)
    answer = try_packages([extra.package])[extra.package]
    if answer["state"] == "works":
        return Finding(extra.name, "works", answer["version"], extra.purpose)
    again = (
        mend() if "torchvision" in answer["detail"] else f"pip install --force-reinstall --no-deps '{extra.package}'"
    )
    return Finding(extra.name, "fails", version(extra.package) or "", f"{extra.purpose}: {answer['detail']}", again)


def _is_missing(package: str) -> bool:
    return find_spec(package) is None


def _requirement(distribution: str) -> str:
    """What segrobust asks for, with its lower bound, e.g. ``torch>=2.5``."""
    lines = metadata.requires("segrobust") or []
    return next((line for line in lines if re.split(r"[^\w.-]", line)[0].lower() == distribution.lower()), distribution)
