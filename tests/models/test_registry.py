"""models/registry.py and models/loading.py: names and folders to segmenters, and what is said when that fails."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segrobust.errors import MissingError, ModelError, UsageError
from segrobust.models import entries, load
from segrobust.models.nano import NanoConfig, NanoSam
from segrobust.types import Prompts

SMALL = NanoConfig(
    image_size=64, widths=(8, 16, 32), depths=(1, 1, 1), attention_layers=1, embedding_channels=32, decoder_mlp=32
)


@pytest.fixture
def nano_folder(tmp_path: Path) -> Path:
    """A nano model with random weights, stored as the shipped ones are: half precision, shared tensor left out."""
    torch.manual_seed(0)
    tensors = {k: v.half() for k, v in NanoSam(SMALL).state_dict().items() if v.is_floating_point()}
    tensors.pop("shared_image_embedding.positional_embedding", None)
    folder = tmp_path / "small"
    folder.mkdir()
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    config = {"format": "segrobust-nano/1", "architecture": SMALL.to_dict(), "everything": {"points_per_side": 16}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_nano_folder_is_loaded_with_its_settings_and_carries_gradients(nano_folder: Path) -> None:
    nano = load(str(nano_folder), device="cpu")
    assert nano.everything.points_per_side == 16
    photo = torch.rand((3, 45, 70), generator=torch.Generator().manual_seed(1)).requires_grad_()
    embedding = nano.embed(photo)
    assert embedding.features.shape == (1, 32, 4, 4)
    prediction = nano.masks(embedding, Prompts.of([(20, 20)]), multimask=True)
    assert prediction.logits.shape == (1, 3, 16, 16)
    prediction.logits.sum().backward()
    assert photo.grad.abs().max() > 0


def test_weights_that_do_not_fit_are_named(nano_folder: Path) -> None:
    config = json.loads((nano_folder / "config.json").read_text())
    config["architecture"]["attention_layers"] = 2
    (nano_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"does not fit its config\.json: 'vision_encoder\.attention\.1"):
        load(str(nano_folder), device="cpu")


def test_truncated_weights_are_an_error_of_ours(nano_folder: Path) -> None:
    weights = nano_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"cannot read .*model\.safetensors"):
        load(str(nano_folder), device="cpu")


def test_unknown_setting_is_named(nano_folder: Path) -> None:
    config = json.loads((nano_folder / "config.json").read_text())
    config["everything"] = {"points_on_side": 16}
    (nano_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="points_on_side"):
        load(str(nano_folder), device="cpu")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("nanoo", "nano"), ("sam-vit-base", "facebook/sam-vit-base"), ("facebook/sam-vit-larg", "large")],
)
def test_unknown_name_is_answered_with_a_close_one(typed: str, meant: str) -> None:
    with pytest.raises(ModelError, match=f"unknown model '{typed}'; did you mean '.*{meant}'"):
        load(typed)


def test_unknown_name_far_from_all_gets_no_guess() -> None:
    with pytest.raises(ModelError, match="unknown model 'qqqq'") as caught:
        load("qqqq")
    assert "did you mean" not in str(caught.value)
    assert caught.value.exit_code == MissingError.exit_code == 5


def test_folder_without_config_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*config\.json"):
        load(str(tmp_path), device="cpu")


def test_folder_of_another_family_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match=r"no model that is known here: it says 'bert'"):
        load(str(tmp_path), device="cpu")


def test_sam_folder_without_weights_is_an_error(tmp_path: Path, golden: Path) -> None:
    shutil.copy(golden / "tiny-sam" / "config.json", tmp_path)
    with pytest.raises(ModelError, match=r"cannot load .*is the folder complete"):
        load(str(tmp_path), device="cpu")


def test_what_is_no_device_is_a_usage_error(golden: Path) -> None:
    with pytest.raises(UsageError, match="device 'gpu' is not one of"):
        load(str(golden / "tiny-sam"), device="gpu")


def test_a_device_that_is_not_here_is_an_error(golden: Path) -> None:
    with pytest.raises(ModelError, match=r"device 'cuda:99' is not here.*--device cpu"):
        load(str(golden / "tiny-sam"), device="cuda:99")


def test_unknown_dtype_is_a_usage_error(golden: Path) -> None:
    with pytest.raises(UsageError, match="dtype 'int8' is not one of float32, bfloat16, float16"):
        load(str(golden / "tiny-sam"), device="cpu", dtype="int8")


def test_the_shipped_model_comes_first() -> None:
    assert entries()[0].name == "nano"
