"""Folders of SAM, SAM-HQ, SAM 2 and SAM 3 that are not what they should be are told in one line."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from safetensors.torch import load_file, save_file

from segrobust.errors import ModelError
from segrobust.models import load

BUILDERS = ("sam", "sam_hq", "sam2", "sam3")


@pytest.fixture(params=BUILDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tiny_models.write(tiny_models.randomise(getattr(tiny_models, request.param)()), tmp_path / "model")


def told(folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        load(str(folder), device="cpu")
    message = str(error.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def change_weights(folder: Path, change: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


def test_a_weight_that_is_missing_is_not_made_up(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change_weights(folder, lambda weights: weights.pop("mask_decoder.iou_token.weight"))
    assert "the weights lack 'mask_decoder.iou_token.weight'; are they those of the config.json?" in told(folder)
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_weights_of_another_size(folder: Path) -> None:
    change_weights(
        folder, lambda w: w.update({"mask_decoder.iou_token.weight": w["mask_decoder.iou_token.weight"][:, :8]})
    )
    assert "cannot load" in told(folder)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "is the folder complete (config.json, model.safetensors)?" in told(folder)


@pytest.mark.parametrize("decoder", ["large", {"hidden_size": "many"}, {"hidden_size": 7}, {"num_attention_heads": 0}])
def test_a_configuration_that_cannot_be_meant(folder: Path, decoder: Any) -> None:
    change_config(folder, mask_decoder_config=decoder)
    assert "cannot load" in told(folder)


def test_an_unknown_setting_of_segment_everything(folder: Path) -> None:
    change_config(folder, everything={"points": 3})
    assert "'everything' has an unknown setting" in told(folder)


def test_own_settings_of_segment_everything(folder: Path) -> None:
    change_config(folder, everything={"points_per_side": 5})
    everything = load(str(folder), device="cpu").everything
    assert (everything.points_per_side, everything.predicted_iou_threshold) == (5, 0.88)


def test_loading_changes_no_ones_logging(folder: Path) -> None:
    before = logging.getLogger("transformers").level
    load(str(folder), device="cpu")
    assert logging.getLogger("transformers").level == before
