"""Files of weights into safetensors."""

import json
from pathlib import Path

import pytest
import torch
from official_names import to_official
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import SamModel

from segrobust.errors import MissingError, ModelError, UsageError
from segrobust.models import load
from segrobust.models.base import WhiteBox
from segrobust.models.convert import convert
from segrobust.models.weights import locate, weights_file


class Yolo(nn.Module):
    """A stand-in for ultralytics' network: a module with its architecture as ``yaml``, pickled whole."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleList([nn.ModuleDict({"conv": nn.Conv2d(3, 32, 3, bias=False)})])
        self.yaml = {"nc": 1, "scale": "s"}


@pytest.fixture
def official(golden: Path, tmp_path: Path) -> Path:
    torch.save(to_official(load_file(golden / "tiny-sam" / "model.safetensors")), tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    torch.save({"model": Yolo().half(), "ema": None, "train_args": {}}, tmp_path / "FastSAM-s.pt")
    return tmp_path / "FastSAM-s.pt"


def test_an_official_sam_becomes_a_folder_that_loads(
    official: Path, golden: Path, tmp_path: Path, tiny_sam: WhiteBox
) -> None:
    made = convert(official, tmp_path / "sam")
    assert (made.path, made.use) == (tmp_path / "sam", f"-m {tmp_path / 'sam'}")
    stored, before = load_file(made.path / "model.safetensors"), load_file(golden / "tiny-sam" / "model.safetensors")
    assert set(stored) == set(before)
    assert all(torch.equal(stored[key], before[key]) for key in before)
    photo = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load(str(made.path), device="cpu").embed(photo).features, tiny_sam.embed(photo).features)
    model, report = SamModel.from_pretrained(made.path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not set(report["missing_keys"]) - {"prompt_encoder.shared_embedding.positional_embedding"}
    assert model.config.vision_config.global_attn_indexes == [2]


def test_what_is_there_is_never_written_over(official: Path, tmp_path: Path) -> None:
    (tmp_path / "sam").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        convert(official, tmp_path / "sam")
    with pytest.raises(UsageError, match="which becomes a folder, so name one"):
        convert(official, tmp_path / "sam.safetensors")
    with pytest.raises(MissingError, match="cannot write to"):
        convert(official, official / "sam")


def test_a_pickle_is_opened_only_if_trusted(pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "cache" / "weights" / weights_file("FastSAM-s").converted
    with pytest.raises(ModelError, match="--trust-pickle"):
        convert(pickled, out)
    assert not out.exists()
    with pytest.raises(UsageError, match=r"FastSAM-s, which becomes one file, so let its name end in \.safetensors"):
        convert(pickled, tmp_path / "folder", trust_pickle=True)
    made = convert(pickled, out, trust_pickle=True)
    assert (made.title, made.use) == ("FastSAM-s", f"-m FastSAM-s --checkpoint {out}")
    assert set(load_file(out)) == {"model.0.conv.weight"}
    with safe_open(out, "pt") as stored:
        about = stored.metadata()
    assert json.loads(about["yaml"]) == {"nc": 1, "scale": "s"}
    assert about["class"].endswith(".Yolo")
    assert locate("FastSAM-s") == out


def test_the_moving_average_is_preferred(tmp_path: Path) -> None:
    plain, average = Yolo(), Yolo()
    torch.save({"model": plain, "ema": average}, tmp_path / "x.pt")
    convert(tmp_path / "x.pt", tmp_path / "x.safetensors", trust_pickle=True)
    assert torch.equal(
        load_file(tmp_path / "x.safetensors")["model.0.conv.weight"], average.state_dict()["model.0.conv.weight"]
    )


def test_a_pickle_of_a_package_that_is_not_here(tmp_path: Path) -> None:
    blob = b"\x80\x02ca_package_of_tomorrow.nn\nYolo\n."
    (tmp_path / "x.pt").write_bytes(blob)
    with pytest.raises(MissingError, match="with a_package_of_tomorrow installed: pip install 'a_package_of_tomorrow'"):
        convert(tmp_path / "x.pt", tmp_path / "x.safetensors", trust_pickle=True)


def test_weights_of_nothing_known_are_not_converted(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "x.pt")
    with pytest.raises(ModelError, match="its 1 names begin with weight"):
        convert(tmp_path / "x.pt", tmp_path / "x.safetensors")
