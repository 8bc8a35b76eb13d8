"""Black boxes on the command line: an attack that needs gradients is refused on one line, and nothing is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Cli, make_cli
from endpoint import Endpoint, serve
from runs import make_photo, segrobust

REFUSED = (
    "gives no gradients, so it cannot be attacked directly; "
    "use an attack that only asks it ('square'), "
    "or attack a surrogate such as 'nano' and score the saved photos on this model\n"
)


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
