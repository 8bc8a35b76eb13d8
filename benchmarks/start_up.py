"""How long does the command line take before it does anything? Processor time of whole processes.

    python -m benchmarks.start_up [--repeats 10]

Beside what Python itself takes and what typer, which reads the command line, takes to be imported. The least and the
median of the repeats. With user and system time together it does not matter much who else is busy.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
from importlib.metadata import version

from segrobust.report.tables import markdown_table

CASES = {
    "python": ("-c", "pass"),
    "import typer": ("-c", "import typer"),
    "import segrobust": ("-c", "import segrobust"),
    "segrobust --version": ("-m", "segrobust", "--version"),
    "segrobust attack --help": ("-m", "segrobust", "attack", "--help"),
    "segrobust ls models": ("-m", "segrobust", "ls", "models"),
    "segrobust ls attacks": ("-m", "segrobust", "ls", "attacks"),
}


def processor_seconds(arguments: tuple[str, ...]) -> float:
    """What one process takes, user and system time together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    rows = []
    for name, arguments in CASES.items():
        taken = [processor_seconds(arguments) for _ in range(args.repeats)]
        rows.append((name, f"{min(taken):.2f}", f"{statistics.median(taken):.2f}"))
    print(markdown_table(("command", "least, s", "median, s"), rows))
    versions = ", ".join(f"{name} {version(name)}" for name in ("typer", "torch"))
    print(f"\n{platform.machine()}, python {platform.python_version()}, {versions}")


if __name__ == "__main__":
    main()
