"""Packages that are not what they should be, on the path of a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

BROKEN_TORCHVISION = 'raise RuntimeError("operator torchvision::nms does not exist")'


def put_package(home: Path, name: str, code: str, version: str = "", needs: str = "") -> Path:
    """A package with this code; with a version, also what pip notes down about it. Returns ``home``."""
    (home / name).mkdir(parents=True)
    (home / name / "__init__.py").write_text(code + "\n")
    if version:
        notes = home / f"{name}-{version}.dist-info"
        notes.mkdir()
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        (notes / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}")
    return home


def put_old_torchvision(home: Path) -> Path:
    """A torchvision that was made for another torch than any this is tested with."""
    return put_package(home, "torchvision", BROKEN_TORCHVISION, "0.15.2", "torch (==2.0.1)")


def process(*arguments: object, path: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, ``path`` first on its module search path."""
    search = [str(path)] if path else []
    search += [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(search), "OMP_NUM_THREADS": "1"},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # of a machine that has other things to do
    )


def python(*parts: str, path: Path | None = None, cwd: Path | None = None) -> str:
    """What code, each part indented as it likes, prints in a fresh interpreter; it must succeed."""
    done = process("-c", "".join(textwrap.dedent(part) for part in parts), path=path, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout
