"""From a file to FastSAM, by name; and that ultralytics stays quiet."""

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import python
from safetensors.torch import save_file

from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.records import aggregate
from segrobust.errors import ModelError
from segrobust.models import load
from segrobust.models.convert import convert
from segrobust.models.fast_sam import FastSam
from segrobust.models.fast_sam_loading import _say_licence
from segrobust.models.registry import find_entry
from segrobust.models.ultralytics_parts import SegmentationModel
from segrobust.report.tables import results_text


@pytest.fixture(scope="module")
def small() -> Any:
    torch.manual_seed(1)
    return SegmentationModel("yolov8s-seg.yaml", nc=1, verbose=False)


@pytest.fixture(scope="module")
def converted(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``segrobust models convert`` writes it: half precision, as the official weights are."""
    file = tmp_path_factory.mktemp("weights") / "FastSAM-s.safetensors"
    state = small.state_dict()
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, file)
    return file


def test_the_weights_are_those_of_the_file(small: Any, converted: Path, caplog: pytest.LogCaptureFixture) -> None:
    _say_licence.cache_clear()
    with caplog.at_level(logging.WARNING, logger="segrobust.models"):
        model = load("FastSAM-s", device="cpu", checkpoint=converted)
        load("FastSAM-s", device="cpu", checkpoint=converted)
    assert isinstance(model, FastSam)
    assert [record.message.count("AGPL-3.0") for record in caplog.records] == [1]  # once
    assert model.everything.image_size == 1024
    assert model.everything.predicted_iou_threshold == 0.4
    assert model.everything.box_nms_threshold == 0.9
    assert len(model.fingerprint) == 64
    own = model.module.state_dict()
    for key, value in small.state_dict().items():
        torch.testing.assert_close(own[key].float(), value.half().float())
    entry = find_entry("FastSAM-s")
    assert entry is not None
    assert sum(p.numel() for p in model.module.parameters()) == entry.parameters


def test_the_large_one_has_as_many_parameters_as_the_table_says() -> None:
    with torch.device("meta"):
        model = SegmentationModel.__new__(SegmentationModel)
        from ultralytics.nn.tasks import parse_model, yaml_model_load

        torch.nn.Module.__init__(model)
        layers, _ = parse_model({**yaml_model_load("yolov8x-seg.yaml"), "nc": 1}, ch=3, verbose=False)
    entry = find_entry("FastSAM-x")
    assert entry is not None
    assert sum(p.numel() for p in layers.parameters()) == entry.parameters


def test_a_name_for_photos_in_their_own_size(converted: Path) -> None:
    model = load("FastSAM-s@photo", device="cpu", checkpoint=converted)
    assert isinstance(model, FastSam)
    assert model.everything.image_size == 0
    assert model.name == "FastSAM-s@photo"


def test_a_pickle_is_not_opened(small: Any, tmp_path: Path) -> None:
    file = tmp_path / "FastSAM-s.pt"
    torch.save({"model": small}, file)
    with pytest.raises(ModelError, match="--trust-pickle") as caught:
        load("FastSAM-s", device="cpu", checkpoint=file)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_is_trusted_is_converted_once(small: Any, tmp_path: Path) -> None:
    """As the official files are: a dictionary with the module itself, in half precision."""
    file, out = tmp_path / "FastSAM-s.pt", tmp_path / "converted.safetensors"
    torch.save({"model": copy.deepcopy(small).half(), "ema": None, "epoch": -1}, file)
    convert(file, out, trust_pickle=True)
    model = load("FastSAM-s", device="cpu", checkpoint=out)
    assert isinstance(model, FastSam)
    wanted = small.state_dict()["model.22.proto.cv1.conv.weight"].half().float()
    torch.testing.assert_close(model.module.state_dict()["model.22.proto.cv1.conv.weight"], wanted)


def test_the_wrong_size_is_named(converted: Path) -> None:
    with pytest.raises(ModelError, match="does not hold FastSAM-x but FastSAM-s"):
        load("FastSAM-x", device="cpu", checkpoint=converted)


def test_files_that_do_not_fit(small: Any, tmp_path: Path) -> None:
    foreign, lacking = tmp_path / "foreign.safetensors", tmp_path / "lacking.safetensors"
    save_file({"vision_encoder.weight": torch.zeros(3)}, foreign)
    state = small.state_dict()
    del state["model.22.proto.cv1.conv.weight"]
    save_file(state, lacking)
    with pytest.raises(ModelError, match=r"no 'model\.0\.conv\.weight'"):
        load("FastSAM-s", device="cpu", checkpoint=foreign)
    with pytest.raises(ModelError, match=r"'model\.22\.proto\.cv1\.conv\.weight' is missing"):
        load("FastSAM-s", device="cpu", checkpoint=lacking)


def test_every_report_names_the_licence() -> None:
    for name in ("FastSAM-s", "FastSAM-x", "FastSAM-s@photo", "FastSAM-x@photo"):
        config = RunConfig(photos=("a.png",), model=name)
        assert "AGPL-3.0" in results_text(aggregate(config, []))


QUIET = """
    import sys
    heard = []
    def listen(event, args):
        looks_for_a_library = "ldconfig" in str(args)  # ctypes.util.find_library, of whatever is installed beside
        if event.startswith(("socket.", "subprocess.", "os.system", "urllib.")) and not looks_for_a_library:
            heard.append((event, args))
    sys.addaudithook(listen)
    {first}
    {second}
    from segrobust.models import load
    import numpy as np
    from segrobust.types import Image, Prompts
    model = load("FastSAM-s", device="cpu", checkpoint={file!r})
    masks = model.answer(Image(np.zeros((40, 60, 3), np.uint8)), Prompts.of([(3, 4)], [(1, 2, 0 + 30, 20)]))
    assert masks.areas.tolist() == [0, 0], masks.areas  # fresh weights are sure of nothing
    assert not heard, heard
    print(np.array([0.123456789]))
    print(load("nano", device="cpu").answer(Image(np.zeros((40, 60, 3), np.uint8)), Prompts.of([(3, 4)])).size)
"""


@pytest.mark.parametrize("first", ["import segrobust.models.sam_parts", "import segrobust.models.ultralytics_parts"])
def test_no_network_no_installing_and_no_torchvision_in_either_order(
    converted: Path, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the torchvision as it is installed here, whose operators do not load: hidden before or after."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    for name in ("YOLO_OFFLINE", "YOLO_AUTOINSTALL", "YOLO_VERBOSE"):
        monkeypatch.delenv(name, raising=False)
    second = "import segrobust.models.ultralytics_parts, segrobust.models.sam_parts"
    printed = python(QUIET.format(first=first, second=second, file=str(converted)))
    assert printed.splitlines() == [str(np.array([0.123456789])), "(40, 60)"]
