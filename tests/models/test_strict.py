"""models/strict.py: weights fit exactly, or the first difference is named."""

from pathlib import Path

import pytest
import torch
from torch import nn

from segrobust.errors import ModelError
from segrobust.models.strict import fill


def weights() -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}


def test_weights_that_fit() -> None:
    model = nn.Linear(2, 1)
    fill(model, weights(), Path("model.pt"))
    assert {key: value.tolist() for key, value in model.state_dict().items()} == {"weight": [[1, 2]], "bias": [3]}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bias": None}, r"'bias' is missing$"),
        ({"scale": torch.ones(1)}, r"'scale' is none of the model's$"),
        ({"weight": torch.ones(1, 3)}, r"'weight' has the shape \(1, 3\), not \(1, 2\)$"),
        (
            {"bias": None, "scale": torch.ones(1), "more": torch.ones(1)},
            r"'bias' is missing \(and 2 more differences\)$",
        ),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, torch.Tensor | None], problem: str) -> None:
    state = {key: value for key, value in (weights() | change).items() if value is not None}
    model = nn.Linear(2, 1)
    before = model.weight.tolist()
    with pytest.raises(ModelError, match=rf"^the weights in model\.pt do not fit: {problem}"):
        fill(model, state, Path("model.pt"))
    assert model.weight.tolist() == before
