"""Black boxes on the command line: an attack that needs gradients is refused on one line, and nothing is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Cli, make_cli
from endpoint import Endpoint, serve
from runs import make_photo, records, segrobust

REFUSED = (
    "gives no gradients, so it cannot be attacked directly; "
    "use an attack that only asks it ('square'), "
    "or attack a surrogate such as 'nano' and score the saved photos on this model\n"
)


COUNTING = """
import numpy as np

def segment(image, prompts):
    with open("calls", "a") as calls:
        calls.write("x")
    bright = image.mean(axis=2) > image[24, 32].mean() - 1
    return np.repeat(bright[None], len(prompts), axis=0)
"""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve() as server:
        yield server


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text("def segment(image, prompts):\n    return None\n")
    make_photo(tmp_path / "photo.png")
    return tmp_path


def test_a_function_cannot_be_attacked(here: Path) -> None:
    done = segrobust("attack", "photo.png", "-m", "mine:segment", "-o", "out", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: model 'mine:segment' {REFUSED}"
    assert not (here / "out").exists()


def test_a_function_is_attacked_by_asking_it(here: Path) -> None:
    """The function counts for itself; what is not the attack's, segmenting and scoring, is that of a run without it."""
    (here / "mine.py").write_text(COUNTING)
    counts = []
    for attack in (("noise",), ("square", "--set", "queries=9", "--set", "size=0.5")):
        done = segrobust(
            "attack", "photo.png", "-m", "mine:segment", "--attack", *attack, "--points-per-side", 2, "--no-progress",
            "-o", attack[0], cwd=here,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        counts.append(len((here / "calls").read_text()))
        (here / "calls").unlink()
    again = 2  # calls for one more row: segment everything, and its prompts
    assert counts[1] - counts[0] == 9 + again
    clean, noise, square = records(here / "square")
    assert [row["queries"] for row in (clean, noise, square)] == [0, 0, 9]
    assert square["max_linf_255"] == 8
    assert square["loss_last"] <= square["loss_first"]
    assert square["settings"]["goal"]["queries"] == 9
    verified = segrobust("verify", "square", cwd=here)
    assert (verified.returncode, verified.stdout) == (0, "ok: square is as recorded\n")


def test_an_endpoint_cannot_be_attacked(cli: Cli, here: Path, endpoint: Endpoint) -> None:
    said = cli("attack", here / "photo.png", "-m", f"{endpoint.address}#rate=9", "-o", here / "out")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"error: model '{endpoint.address}' {REFUSED}"
    assert endpoint.posts == []
    assert not (here / "out").exists()


def test_a_function_that_is_not_there_is_one_line(cli: Cli, here: Path) -> None:
    said = cli("attack", here / "photo.png", "-m", "nowhere_at_all:segment", "-o", here / "out")
    assert said.code == 5
    assert said.err.startswith(
        "error: model 'nowhere_at_all:segment' cannot be imported: no module 'nowhere_at_all' in "
    )
    assert len(said.err.splitlines()) == 1
