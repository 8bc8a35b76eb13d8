"""Tables over a whole run: the worst numbers, paired differences, what is on disk."""

from segrobust.benchmark.rows import CLEAN, CONTROLS
from segrobust.report.grids import DASH, Cell, Grid, Value, bounded, count, number, words
from segrobust.report.layout import WHITE_BOX, Results, attack_name, main_interval


def worst_table(results: Results) -> Grid:
    """Of every target, the attack that hurt it most, and by how much compared with its original."""
    worst: dict[tuple[str, str, str, str], int] = {}
    for place, cell in enumerate(results["cells"]):
        lowest = main_interval(cell)
        if cell["recipe"] in CONTROLS or not lowest or lowest["value"] is None:
            continue
        key = (cell["dataset"], cell["protocol"], cell["target"], cell["defence"])
        best = worst.get(key)
        if best is None or lowest["value"] < (main_interval(results["cells"][best]) or {})["value"]:
            worst[key] = place
    drops = {d["cell"]: d["score"] for d in results["differences"] if d["kind"] == CLEAN}
    rows = []
    for (dataset, protocol, target, defence), place in worst.items():
        cell = results["cells"][place]
        made = (cell["surrogate"] or DASH) + (f" {WHITE_BOX}" if cell["white_box"] else "")
        asr = bounded(cell["all"]["asr50"], percent=True) if "all" in cell else Value(DASH)
        score, drop = bounded(main_interval(cell)), bounded(drops.get(place), sign=True)
        names = [words(text) for text in (target, defence, dataset, protocol, attack_name(cell), made)]
        rows.append([*names, score, drop, asr])
    header = ["target", "defence", "data", "protocol", "worst attack", "made on", "score ↑", "change", "ASR@50 ↓"]
    note = (
        "Score: mIoU of the prompts, or matched mIoU of segment everything. In brackets the 95 % interval over photos."
    )
    return Grid("The worst numbers", header, rows, left=6, note=note)


def difference_table(results: Results) -> Grid:
    """Paired differences: against the headline attack, and against noise."""
    cells, kinds = results["cells"], ("headline", "noise", "sign-noise", "unaware")
    rows: dict[int, dict[str, Cell]] = {}
    for found in results["differences"]:
        if found["kind"] in kinds and cells[found["cell"]]["recipe"] not in CONTROLS:
            rows.setdefault(found["cell"], {})[found["kind"]] = found
    lines = [
        [
            words(attack_name(cell)), words(cell["surrogate"]), words(cell["target"]), words(cell["defence"]),
            words(f"{cell['dataset']}, {cell['protocol']}"),
            *(bounded(there[kind]["score"], sign=True) if kind in there else Value(DASH) for kind in kinds),
        ]
        for place, there in rows.items()
        for cell in [cells[place]]
    ]  # fmt: skip
    first = results["facts"]["attacks"][0] if results["facts"]["attacks"] else "the first attack"
    header = ["attack", "made on", "target", "defence", "data", f"minus {first}", "minus noise", "minus sign-noise",
              "adaptive minus not"]  # fmt: skip
    note = "Scores on the same photos, subtracted. Below zero: it hurts more; an interval with zero decides nothing."
    return Grid("Paired differences", header, lines, left=5, note=note)


def made_table(results: Results) -> Grid:
    """How visible the attacks are on disk, and what they cost; every attack once, whoever it was shown to."""
    rows: dict[tuple[str, str, str | None, str], list[Value]] = {}
    for cell in results["cells"]:
        if "files" not in cell:
            continue
        knows = cell["defence"] if cell["adaptive"] else ""
        files, photos = cell["files"], cell["photos"]
        cost = [number(cell["cost"][name] / photos, 0) for name in ("encoder_forward", "encoder_backward")]
        measured = [number(files["l2"], 2), number(files["psnr"], 1), number(files["ssim"], 4)]
        line = [
            words(attack_name(cell) + (f", knowing {knows}" if knows else "")), words(cell["surrogate"]),
            words(cell["dataset"]), words(cell["epsilon"]), count(files["linf_255"]), *measured, *cost,
        ]  # fmt: skip
        rows.setdefault((cell["dataset"], cell["attack"], cell["surrogate"], knows), line)
    header = ["attack", "made on", "data", "budget", "largest change /255", "L2", "PSNR dB", "SSIM", "encoder passes",
              "gradients"]  # fmt: skip
    note = "Measured between the original and the saved file. Passes and gradients: encoder views per photo."
    return Grid("What is on disk, and what it cost", header, list(rows.values()), left=4, note=note)
