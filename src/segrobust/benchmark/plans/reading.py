"""From a YAML file to a plan; whatever is wrong is said in one line, with the line of the file."""

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from segrobust.benchmark.plans.parts import PlaceError
from segrobust.benchmark.plans.plan import Plan
from segrobust.errors import UsageError
from segrobust.io.datasets import AUTO, KINDS

VARIABLE = re.compile(r"\$\{(\w+)\}")
Place = tuple[str | int, ...]


def read_plan(path: Path, data: Sequence[str] = (), limit: str | None = None, split: str | None = None) -> Plan:
    """Read a plan.

    Args:
        path: the file.
        data: other data: ``PATH`` or ``KIND:PATH`` instead of the plan's, or ``NAME=PATH`` for ``${NAME}`` in it.
        limit: of every data set, instead of the plan's.
        split: the part of every data set that is taken, likewise.

    Raises:
        UsageError: not readable, not YAML, an unknown key (with the nearest name) or a bad value, with its line; or
            a path that is still to be given.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'no UTF-8 text'}") from None
    plan, lines = parse_plan(text, str(path))
    values = plan.model_dump(exclude_unset=True)
    values["data"] = replace_data(values["data"], data, str(path))
    given = {key: value for key, value in (("limit", limit), ("split", split)) if value is not None}
    values["data"] = [source | given for source in values["data"]]
    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error.errors()[0], str(path), lines)) from None


def parse_plan(text: str, where: str) -> tuple[Plan, yaml.Node]:
    """A plan from YAML, its data paths as they are written, and the tree of the text.

    Raises:
        UsageError: see :func:`read_plan`.
    """
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        reason = getattr(error, "problem", None) or error
        raise UsageError(f"{place}: not YAML: {' '.join(str(reason).split())}") from None
    if tree is None or not isinstance(values, dict):
        raise UsageError(f"{where}: a plan is a mapping of settings, got {type(values).__name__}")
    _refuse_duplicates(tree, where)
    try:
        return Plan.model_validate(values), tree
    except ValidationError as error:
        raise UsageError(_explain(error.errors()[0], where, tree)) from None


def replace_data(sources: Sequence[dict[str, Any]], data: Sequence[str], where: str) -> list[dict[str, Any]]:
    """The data of a plan with paths from the command line and the environment.

    Raises:
        UsageError: it is not clear what is replaced, or a path is still to be given.
    """
    replaced = [{"kind": AUTO, **source} for source in sources]
    variables = dict(os.environ)
    for text in data:
        name, equals, value = text.partition("=")
        kind, colon, place = text.partition(":")
        if equals and value and re.fullmatch(r"[A-Za-z_]\w*", name):  # a path with such a beginning is written ./
            if not any(name in VARIABLE.findall(source["path"]) for source in sources):
                raise UsageError(f"--data {text}: no path in {where} has ${{{name}}}")
            variables[name] = value
        elif colon and kind in (*KINDS, AUTO):
            _replace_kind(replaced, kind, place, where)
        elif len(replaced) == 1:
            replaced[0]["path"] = text
        else:
            kinds = ", ".join(str(source["kind"]) for source in replaced)
            raise UsageError(f"--data {text}: {where} has several data sets; write KIND:PATH ({kinds})")
    for source in replaced:
        missing = [name for name in VARIABLE.findall(source["path"]) if name not in variables]
        if missing:
            form = "PATH" if len(replaced) == 1 else f"{missing[0]}=PATH"
            raise UsageError(f"{where}: {source['path']} is no path yet; give it with --data {form}")
        source["path"] = VARIABLE.sub(lambda match: variables[match[1]], source["path"])
    return replaced


def _replace_kind(sources: list[dict[str, Any]], kind: str, path: str, where: str) -> None:
    same = [source for source in sources if source["kind"] == kind]
    if not path:
        raise UsageError(f"--data {kind}: is followed by a path")
    if len(same) == 1 or len(sources) == 1:
        chosen = (same or sources)[0]
        if chosen["kind"] != kind:
            chosen.pop("split", None)  # another data set's splits have other names
        chosen.update(kind=kind, path=path)
    else:
        kinds = ", ".join(str(source["kind"]) for source in sources)
        raise UsageError(f"--data {kind}:{path}: {where} has {len(same)} data sets of this kind ({kinds})")


def dump_plan(plan: Plan) -> str:
    """The YAML text of a plan; the same text for the same plan."""
    values = plan.model_dump(mode="json", exclude_defaults=False)
    return "# segrobust run THIS -o NEW_FOLDER\n" + yaml.safe_dump(values, sort_keys=False)


def differing_keys(a: Plan, b: Plan) -> list[str]:
    """The settings in which two plans differ."""
    left, right = a.model_dump(mode="json"), b.model_dump(mode="json")
    return [key for key in left if left[key] != right[key]]


def _explain(error: ErrorDetails, where: str, tree: yaml.Node) -> str:
    """What pydantic found, on one line: file and line, which setting, what is wrong, what was received."""
    inner = (error.get("ctx") or {}).get("error")
    place: Place = error["loc"]
    key = error["type"] == "extra_forbidden"
    if isinstance(inner, PlaceError):
        place, key = place + inner.place, inner.key
    shown = ".".join(str(part) for part in place)
    head = f"{where}:{_line(tree, place, key)}"
    if error["type"] == "extra_forbidden":
        close = get_close_matches(str(place[-1]), _known(place[:-1]), n=1, cutoff=0.4)
        return f"{head}: unknown key {shown!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    reason = " ".join(error["msg"].removeprefix("Value error, ").split())
    if error["type"] == "missing":
        reason = "is missing"
    elif error["type"] != "value_error":
        reason += f", got {str(error['input'])[:60]!r}"
    return f"{head}: {shown}: {reason}" if shown else f"{head}: {reason}"


def _known(place: Place) -> list[str]:
    """The keys that may stand at a place."""
    model: type[BaseModel] | None = Plan
    for part in place:
        if isinstance(part, str) and model is not None and part in model.model_fields:
            model = _model_inside(model.model_fields[part].annotation)
    return list(model.model_fields) if model else []


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_inside(part))), None)


def _line(tree: yaml.Node, place: Place, key: bool) -> int:
    """The line, from 1, of a value (or of its key); of the nearest thing around it, where it is not there."""
    node, line = tree, tree.start_mark.line
    for depth, part in enumerate(place):
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                continue  # a level that the file does not have, such as 'parameters'
            node = pair[1]
            line = (pair[0] if key and depth == len(place) - 1 else node).start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return int(line) + 1


def _refuse_duplicates(node: yaml.Node, where: str) -> None:
    """YAML keeps the last of two equal keys without a word; here it is an error."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise UsageError(f"{where}:{line}: {key.value!r} is there twice (first in line {seen[key.value]})")
            seen[key.value] = line
            _refuse_duplicates(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(value, where)
