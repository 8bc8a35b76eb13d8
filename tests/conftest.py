"""What every room's tests share: the golden files and the tiny SAM that made them."""

from pathlib import Path

import pytest
import torch

from segrobust.models import load
from segrobust.models.base import WhiteBox

ROOT = Path(__file__).resolve().parent.parent

# Sums in another order differ in the last bits: one thread, so that a test means the same on every machine.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """Values computed with the authors' implementations; see tests/golden/README.md."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def tiny_sam(golden: Path) -> WhiteBox:
    """A SAM of 256 px with random weights; shared, so leave it as it is."""
    return load(str(golden / "tiny-sam"), device="cpu")
