"""From the store to rows, facts and results.json; no seconds, no dates: the same plan gives the same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segrobust.benchmark.facts import Facts
from segrobust.benchmark.plans.engine import Run
from segrobust.benchmark.plans.tasks import protocols_of
from segrobust.benchmark.plans.variants import variants
from segrobust.benchmark.results import aggregate, to_json
from segrobust.benchmark.rows import CLEAN, NO_DEFENCE, Row
from segrobust.defences.table import KINDS
from segrobust.io.files import atomic_write_text

COMMAND = "segrobust run plan.yaml -o NEW_FOLDER"
"""Makes a run again, in its folder: the plan there holds everything that decides the numbers."""
NOT_DONE = "it was not done: the run was interrupted"


def rows(run: Run, *, seconds: bool = False) -> Iterator[Row]:
    """Every row of a run, in the order of its tables.

    Args:
        run: finished or not; what is missing is a failed row.
        seconds: also say how long each attack took; the rows are then never the same twice.
    """
    for dataset, _, image in run.photos():
        photo = run.store.photo(dataset, image)
        if photo is None:
            continue
        made = _made(run, photo, seconds)
        for target in run.plan.targets:
            scores = {
                (row["attack"], row["surrogate"], row["adaptive"], row["defence"], row["protocol"]): row
                for row in run.store.scores(dataset, image, target)
            }
            for number, defence in run.jobs:
                shot = run.shots[number]
                for protocol in protocols_of(photo):
                    score = scores.get((*shot.name, defence, protocol), {})
                    state = score.get("state", "failed")
                    yield Row(
                        dataset=dataset,
                        image=image,
                        surrogate=shot.surrogate,
                        attack=shot.variant.label,
                        recipe=shot.variant.recipe,
                        epsilon=shot.variant.epsilon,
                        target=target,
                        defence=defence,
                        protocol=protocol,
                        adaptive=shot.adaptive != NO_DEFENCE,
                        state=state,
                        error=score.get("error", NOT_DONE) if state == "failed" else None,
                        parameters=shot.variant.parameters,
                        item=score.get("result") or {},
                        made=made[number],
                    )


def _made(run: Run, photo: dict[str, Any], seconds: bool) -> list[dict[str, Any]]:
    """How each shot of a photo was made, by its number."""
    found: list[dict[str, Any]] = []
    for shot in run.shots:
        record = None
        if shot.variant.recipe != CLEAN and photo["state"] == "done":
            record = run.store.made(run.key(shot, photo))
        fields = dict((record or {}).get("result") or {})
        if record and fields and seconds:
            fields["seconds"] = record["seconds"]
        found.append(fields)
    return found


def facts_of(run: Run) -> Facts:
    """What a run knows about itself."""
    plan, circumstances = run.plan, run.store.meta("circumstances")
    asked = next((entry for entry in plan.protocols if entry.protocol != "everything"), None)
    protocol: dict[str, Any] = {"perturbation": plan.space}
    if asked is not None:
        protocol |= {"multimask": asked.rule, **asked.prompts.model_dump()}
    if plan.protocol("clean"):
        protocol["prompts_from"] = plan.prompt_source
    labels = [variant.label for variant in variants(plan) if not variant.control]
    return Facts(
        plan=run.store.meta("name") or "",
        command=COMMAND,
        seed=plan.seed,
        attacks=tuple(labels),
        surrogates=plan.white_boxes,
        targets=plan.targets,
        datasets=_datasets(run),
        models={name: dict(facts) for name, facts in run.facts.items()},
        defences=_defences([entry.defence for entry in plan.defences]),
        protocol=protocol,
        versions={
            **circumstances["versions"],
            **{key: circumstances[key] for key in ("device", "threads", "platform")},
            "dtype": plan.dtype,
            "autocast": plan.autocast,
        },
    )


def _datasets(run: Run) -> dict[str, Mapping[str, Any]]:
    from segrobust.benchmark.plans.keys import digest

    found: dict[str, Mapping[str, Any]] = {}
    for name, dataset in run.data.items():
        photos = [run.store.photo(name, sample.id) or {} for sample in dataset.samples]
        about = {"kind": dataset.kind, "photos": len(dataset), "terms": dataset.terms}
        found[name] = about | {"sha256": digest([photo.get("sha256") for photo in photos])}
    return found


def _defences(names: Sequence[str]) -> dict[str, str]:
    does = {kind: about.does for kind, about in KINDS.items()}
    return {name: ", then ".join(does.get(kind, kind) for kind in _parts(name)) for name in names if name != NO_DEFENCE}


def _parts(name: str) -> list[str]:
    """The kinds in a chain of defences; ``resize-pad`` has a hyphen of its own."""
    return [kind for part in name.split("+") for kind in [next((k for k in KINDS if part.startswith(k)), part)]]


def aggregate_run(run: Run) -> dict[str, Any]:
    """The aggregates of a run."""
    return aggregate(rows(run), facts_of(run))


def write_results(run: Run) -> dict[str, Any]:
    """Aggregate a finished run, and write ``results.json``."""
    results = aggregate_run(run)
    atomic_write_text(run.folder.results, to_json(results))
    return results
