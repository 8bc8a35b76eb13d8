"""``segrobust doctor``: what works here, what does not, and the line that mends it."""

import dataclasses
import json
from collections.abc import Iterator

import typer

from segrobust.models.environment import Environment, Finding, examine

MARKS = {"works": "ok", "absent": "-", "fails": "FAILS"}


def doctor(as_json: bool) -> int:
    """Examine this machine and print what was found; the exit code is 5 when something required fails."""
    found = examine()
    if as_json:
        typer.echo(json.dumps({"works": found.works} | dataclasses.asdict(found), indent=1, default=str))
    else:
        for line in report(found):
            typer.echo(line)
    return 0 if found.works else 5


def report(found: Environment) -> Iterator[str]:
    """The lines for people."""
    yield f"segrobust {found.segrobust}, python {found.python}, {found.platform}"
    yield "\nrequired"
    for finding in found.required:
        yield from _finding(finding)
    yield "\noptional"
    for finding in (found.torchvision, *found.extras):
        yield from _finding(finding)
    yield "\nmachine"
    yield from _machine(found)
    yield ""
    broken = [finding.name for finding in found.required if finding.state != "works"]
    limping = [finding.name for finding in (found.torchvision, *found.extras) if finding.state == "fails"]
    optional = f"; what is optional and fails: {', '.join(limping)}" if limping else ""
    if broken:
        yield f"FAILED: segrobust cannot work until this does: {', '.join(broken)}{optional}"
    else:
        yield f"everything required works{optional}"


def _finding(finding: Finding) -> Iterator[str]:
    name = f"{finding.name} {finding.version}".rstrip()
    yield f"  {MARKS[finding.state]:<6}{name:<26}{finding.detail}".rstrip()
    if finding.mend:
        yield f"  {'':<6}{'to get it:' if finding.state == 'absent' else 'to mend it:'} {finding.mend}"


def _machine(found: Environment) -> Iterator[str]:
    if found.memory is None:
        yield "  memory: this system does not say"
    else:
        limit = ", a control group's limit" if found.memory.limited else ""
        yield f"  memory: {_size(found.memory.available)} free of {_size(found.memory.total)}{limit}"
    threads = "torch does not say" if found.threads is None else f"torch uses {found.threads} threads"
    yield f"  processors: {found.processors}; {threads}"
    built = [f"{name} {number}" for name, number in found.built_for.items() if number]
    for device in found.devices:
        room = "" if device["total"] is None else f", {_size(device['free'])} free of {_size(device['total'])}"
        yield f"  {device['device']}: {device['name']}{room}"
    if not found.devices:
        yield f"  no CUDA or MPS device (torch is built for {' and '.join(built) or 'the processor only'})"
    for cache in found.caches:
        free = "" if cache.free is None else f", {_size(cache.free)} free on its disk"
        origin = f", set by {cache.set_by}" if cache.set_by else ""
        yield f"  cache, {cache.name}: {cache.path} ({'there' if cache.exists else 'empty'}{free}{origin})"
    for name, value in found.variables.items():
        yield f"  {name}={value}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
