"""``segrobust doctor`` on machines where something is wrong."""

import json
import subprocess
from pathlib import Path

import pytest
from fakes import process, put_old_torchvision, put_package

WRONG = {
    "kornia": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
    "ultralytics": "import torchvision",
    "onnxruntime": "raise ImportError('cannot open\\nlibnothing.so')",
}


def doctor(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return process("-m", "segrobust", "doctor", *flags, path=path)


def lines_about(text: str, name: str) -> list[str]:
    """The line that begins with a mark and this name, and the one under it."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[1:2] == [name])
    return lines[start : start + 2]


def test_what_is_optional_may_be_broken(tmp_path: Path) -> None:
    put_old_torchvision(tmp_path)
    for name, code in WRONG.items():
        put_package(tmp_path, name, code)
    done = doctor(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "everything required works; what is optional and fails: torchvision, kornia, fastsam, onnx"
    )
    line, mend = lines_about(done.stdout, "torchvision")
    assert line.startswith("  FAILS torchvision 0.15.2")
    assert "torchvision 0.15.2, made for torch 2.0.1, does not work with torch 2" in line
    assert "operator torchvision::nms does not exist" in line
    assert line.endswith("segrobust goes on without it")
    assert mend.startswith(
        "        to mend it: pip install --force-reinstall --no-deps 'torchvision==0."
    )  # for ultralytics
    assert "took its process down (SIGSEGV)" in lines_about(done.stdout, "kornia")[0]
    assert lines_about(done.stdout, "fastsam")[1] == mend
    line, mend = lines_about(done.stdout, "onnx")
    assert "ImportError: cannot open libnothing.so" in line
    assert mend == "        to mend it: pip install --force-reinstall --no-deps 'onnxruntime'"
    for word in ("memory: ", "processors: ", "cache, Hugging Face hub: ", "GiB free on its disk"):
        assert word in done.stdout


def test_what_is_required_may_not(tmp_path: Path) -> None:
    for name in WRONG:
        put_package(tmp_path, name, "")
    put_package(tmp_path, "transformers", "raise ImportError('torn')", "1.0")
    done = doctor(tmp_path, "--json")
    assert (done.returncode, done.stderr) == (5, "")
    found = json.loads(done.stdout)
    assert found["works"] is False
    required = {finding["name"]: finding for finding in found["required"]}
    assert required["torch"]["state"] == "works"
    assert required["transformers"]["detail"] == "ImportError: torn"
    assert required["transformers"]["mend"] == "pip install --force-reinstall --no-deps 'transformers>=5'"
    assert required["gradient"]["mend"] == "mend transformers first"
    assert [extra["state"] for extra in found["extras"]] == ["works"] * 3


@pytest.mark.slow
def test_nothing_is_wrong(tmp_path: Path) -> None:
    for name in WRONG:
        put_package(tmp_path, name, "__version__ = '1.0'")
    done = doctor(tmp_path, "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["works"] is True
    assert {finding["state"] for finding in found["required"] + found["extras"]} == {"works"}
    assert not [finding["mend"] for finding in found["required"] + found["extras"] if finding["mend"]]
    assert found["threads"] == 1
    assert found["memory"]["available"] > 0
    assert found["variables"]["OMP_NUM_THREADS"] == "1"
