"""The command line, called in this process."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from segrobust.cli.main import main


class Said(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Said]


def make_cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Calls the command line and returns what it said; no traceback may ever reach the terminal."""

    def call(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert isinstance(end.value.code, int)
        return Said(end.value.code, said.out, said.err)

    return call
