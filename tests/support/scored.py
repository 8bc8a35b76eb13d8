"""Rows of runs that never happened: scores chosen so that a table, a check or a report has one right answer."""

from collections.abc import Sequence
from typing import Any

from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import Row

AREAS = (500, 5_000, 50_000, 500)
KINDS = ("point", "point", "box", "box")


def prompts(ious: Sequence[float | None], areas: Sequence[int] | None = None) -> dict[str, Any]:
    """What a row measured of its prompts; every other measure is the IoU's own."""
    kinds = [KINDS[i % 4] for i in range(len(ious))]
    same = {name: list(ious) for name in ("iou", "boundary_iou", "precision", "recall", "f1")}
    where = list(areas) if areas else [AREAS[i % 4] for i in range(len(ious))]
    return {"prompts": {"kind": kinds, "mask": list(range(len(ious))), "area": where, **same}, "empty": 0}


def made(**changed: Any) -> dict[str, Any]:
    """How a healthy attack was made."""
    values = {
        "linf_255": 8, "l2": 9.5, "psnr": 33.0, "ssim": 0.91, "bytes": 120_000, "loss": [1.0, 0.6, 0.3],
        "encoder_forward": 42, "encoder_backward": 40, "seconds": 3.2, "settings": {}, "notes": [],
        "float_to_8bit": 0.01,
    }  # fmt: skip
    return values | changed


def row(attack: str, ious: Sequence[float | None], image: str = "a", **changed: Any) -> Row:
    """A scored photo: white box on ``nano`` unless told otherwise."""
    recipe = attack.partition("[")[0]
    control = recipe in ("clean", "noise", "sign-noise")
    values: dict[str, Any] = {
        "dataset": "photos", "image": image, "surrogate": None if control else "nano", "attack": attack,
        "recipe": recipe, "epsilon": "0" if attack == "clean" else "8/255", "target": "nano", "defence": "none",
        "protocol": "annotation", "item": prompts(ious), "made": {} if attack == "clean" else made(),
    }  # fmt: skip
    return Row(**(values | changed))


FACTS = Facts(
    plan="example",
    command="segrobust run plans/example.yaml -o runs/example",
    seed=3,
    attacks=("rga", "ask"),
    surrogates=("nano",),
    targets=("nano", "nano-vit"),
    datasets={"photos": {"kind": "folder", "photos": 12, "sha256": "ab" * 32, "terms": "the photographer's own"}},
    models={name: {"sha256": "cd" * 32, "licence": "Apache-2.0"} for name in ("nano", "nano-vit")},
    defences={"jpeg-q75": "JPEG at quality 75, by the real codec"},
    protocol={"multimask": "single", "masks": 10, "points": 5, "boxes": 3, "perturbation": "strict"},
    versions={"python": "3.11.2", "torch": "2.13.0", "device": "cpu"},
)


def run_of(photos: int = 12) -> list[Row]:
    """A small healthy run: originals, controls, two attacks at two budgets, transfer, a defence, segment everything."""
    rows = []
    for number in range(photos):
        image = f"photo-{number:02d}"
        shift = 0.02 * number

        def ious(base: float, shift: float = shift) -> list[float]:
            return [min(1.0, round(base + shift + 0.05 * i, 4)) for i in range(4)]

        for target, hardness in (("nano", 0.0), ("nano-vit", 0.25)):
            for protocol in ("annotation", "clean"):
                own = protocol == "clean"
                shared = {"image": image, "target": target, "protocol": protocol}
                rows.append(row("clean", [1.0] * 4 if own else ious(0.72), **shared))
                rows.append(row("noise", ious(0.68), **shared))
                rows.append(row("sign-noise", ious(0.65), **shared))
                rows.append(row("rga", ious(0.1 + hardness), **shared))
                rows.append(
                    row("rga[eps=4/255]", ious(0.3 + hardness), epsilon="4/255", **shared, made=made(linf_255=4))
                )
                rows.append(row("noise[eps=4/255]", ious(0.7), epsilon="4/255", **shared, made=made(linf_255=4)))
                rows.append(row("sign-noise[eps=4/255]", ious(0.69), epsilon="4/255", **shared, made=made(linf_255=4)))
                rows.append(row("ask", ious(0.2 + hardness), **shared))
            item = {"masks_clean": 12, "masks_found": 12, "matched_miou": 1.0, "map": 1.0}
            every = {"image": image, "target": target, "protocol": "everything"}
            rows.append(row("clean", [], **every, item=item))
            for attack, left in (("noise", 0.8), ("sign-noise", 0.7), ("rga", 0.3 + hardness), ("ask", 0.4 + hardness)):
                item = {"masks_clean": 12, "masks_found": 9, "matched_miou": left, "map": left - 0.1}
                rows.append(row(attack, [], **every, item=item))
        shared = {"image": image, "defence": "jpeg-q75"}
        rows.append(row("clean", ious(0.7), **shared))
        rows.append(row("noise", ious(0.67), **shared))
        rows.append(row("sign-noise", ious(0.65), **shared))
        rows.append(row("rga", ious(0.5), **shared))
        rows.append(row("rga", ious(0.2), **shared, adaptive=True))
    return rows
