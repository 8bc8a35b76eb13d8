"""The aggregates of a run as Markdown tables that can be pasted anywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with padded columns: the first ones left-aligned, the rest right-aligned."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i < left else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *(line(r) for r in rows)])


def results_text(results: Mapping[str, Any]) -> str:
    """Everything a reader needs beside the numbers (rule 3 of the house), and the tables."""
    parts = [_headline(results)]
    for kind, title in (
        ("clean_reference", "Reference: the model's own answers on the original photo"),
        ("annotation_reference", "Reference: the annotation beside the photo"),
    ):
        scored = [r[kind] for r in results["rows"] if kind in r]
        if scored:
            asked = scored[0]["all"]
            skipped = f", {asked['skipped']} skipped (empty)" if asked["skipped"] else ""
            counted = f"{scored[0]['photos']} photos, {asked['n']} prompts{skipped}"
            parts.append(f"{title} ({counted})\n\n{_prompt_table(results['rows'], kind)}")
    if any(r["photos"] for r in results["rows"]):
        table = _photo_table(results["rows"])
        parts.append(f"The saved photos and segment everything (means over photos)\n\n{table}")
    failures = failure_lines(results["failures"])
    return "\n\n".join(parts + (["\n".join(failures)] if failures else []))


def failure_lines(failures: Sequence[Row]) -> list[str]:
    """One line per photo and reason: the file, the rows it cost, why."""
    rows: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        rows.setdefault((failure["photo"], failure["error"]), []).append(failure["attack"])
    return [f"failed: {photo} ({', '.join(attacks)}): {error}" for (photo, error), attacks in rows.items()]


def _label(row: Row) -> str:
    """The attack; beside it, on how few photos the row stands, where some failed: the others have more."""
    return f"{row['attack']} ({row['photos']} of {row['photos'] + row['failed']})" if row["failed"] else row["attack"]


def _headline(results: Mapping[str, Any]) -> str:
    text = f"model {results['model']}, white box, {settings_text(results)}"
    return text + (f"\nlicence of the weights: {results['licence']}" if results["licence"] else "")


def settings_text(results: Mapping[str, Any]) -> str:
    """What decides the numbers, whatever the models: protocol, budget, seed, photos, prompts, and what was changed."""
    plan = results["prompts_per_photo"]
    text = (
        f"protocol {results['protocol']}, L-infinity {results['epsilon']}, "
        f"seed {results['seed']}, {results['photos']} photos; first {plan['masks']} masks, {plan['points']} points and "
        f"{plan['boxes']} boxes each, single-mask answers"
    )
    changed = [f"{key}={value}" for key, value in results["parameters"].items()]
    if results["dtype"] != "float32":
        changed.append(f"dtype={results['dtype']}")
    if results["autocast"] is not None:
        changed.append(f"autocast={results['autocast']}")
    if results["points_per_side"] is not None:
        changed.append(f"points_per_side={results['points_per_side']}")
    return text + (f"\nchanged: {', '.join(changed)}" if changed else "")


def _prompt_table(rows: Sequence[Row], kind: str) -> str:
    header = ["attack", "mIoU ↑", "points", "boxes", "ASR@50 ↓", "ASR@10 ↓"]
    lines = []
    for row in rows:
        if kind not in row:  # all its photos failed
            lines.append([_label(row), *["–"] * (len(header) - 1)])
            continue
        scores = row[kind]
        lines.append(
            [
                _label(row),
                *(share(scores[part]["miou"], 3) for part in ("all", "points", "boxes")),
                *(percent(scores["all"][key]) for key in ("asr50", "asr10")),
            ]
        )
    return markdown_table(header, lines)


def _photo_table(rows: Sequence[Row]) -> str:
    header = ["attack", "masks", "matched mIoU ↑", "max diff /255", "PSNR dB", "SSIM", "gradients", "s/photo"]
    lines = []
    for row in rows:
        if not row["photos"]:
            lines.append([_label(row), *["–"] * (len(header) - 1)])
            continue
        lines.append(
            [
                _label(row),
                f"{row['masks_found']:.1f}",
                share(row["masks_matched_miou"], 3),
                str(row["max_linf_255"]),
                share(row["psnr"], 1),
                share(row["ssim"], 4),
                str(row["encoder_backward"] // row["photos"]),
                share(row["seconds"], 1),
            ]
        )
    return markdown_table(header, lines)


def share(value: float | None, digits: int) -> str:
    """A number in a cell; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share of one as percent; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"
