"""The commands report and compare; heavy imports happen inside."""

from pathlib import Path

from segrobust.cli.output import print_text
from segrobust.errors import UsageError

WORSE = 3
"""Exit code of ``compare`` when something got worse."""


def report(folder: Path) -> int:
    """Write the report of a plan's run, and print its verdict and what the checks found."""
    from segrobust.report.run_pictures import RunPictures
    from segrobust.report.story import findings_lines, verdict
    from segrobust.report.write import PAGE, read_results, write_report

    if not folder.is_dir():
        raise UsageError(f"{folder} is not the folder of a run")
    read_results(folder)  # says best what is missing
    results = write_report(folder, RunPictures(folder))
    print_text(verdict(results))
    for line in findings_lines(results):
        print_text(line)
    print_text(f"\nsaved {folder / PAGE}")
    return 0


def compare(first: Path, second: Path, threshold: float) -> int:
    """Print what differs between two runs; the exit code is 3 when something got worse."""
    from segrobust.benchmark.compare import compare as compare_results
    from segrobust.report.compared import comparison_text
    from segrobust.report.write import read_results

    found = compare_results(read_results(first), read_results(second), threshold)
    print_text(comparison_text(found, threshold))
    return WORSE if found.worse else 0
