"""A checkpoint's own processor: its numbers are taken, odd ones are told, and transformers' processors agree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from contract import make_photo
from transformers import Sam2Processor, Sam3TrackerProcessor, SamImageProcessorPil

from segrobust.errors import ModelError
from segrobust.models import load
from segrobust.models.frame import Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD, to_tensor
from segrobust.models.loading import ModelFolder
from segrobust.models.preprocessing import read_frame, square_side
from segrobust.types import Prompts

DEFAULT = Frame(64, SAM_MEAN, SAM_STD, stretch=True)
OWN = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": {"height": 64, "width": 64}}


def folder(path: Path, **files: Any) -> ModelFolder:
    for name, value in {"config": {}, **files}.items():
        (path / f"{name}.json").write_text(json.dumps(value))
    return ModelFolder(str(path), "tiny")


def test_both_layouts_say_mean_and_std(tmp_path: Path) -> None:
    wanted = Frame(64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), stretch=True)
    assert read_frame(folder(tmp_path, preprocessor_config=OWN), DEFAULT) == wanted
    new = folder(tmp_path, processor_config={"image_processor": OWN}, preprocessor_config={"image_mean": [9, 9, 9]})
    assert read_frame(new, DEFAULT) == wanted, "the newer layout comes first"
    video = folder(tmp_path, processor_config={"target_size": 64}, preprocessor_config=OWN)
    assert read_frame(video, DEFAULT) == wanted


def test_what_is_not_said_stays(tmp_path: Path) -> None:
    assert read_frame(folder(tmp_path), DEFAULT) == DEFAULT
    assert read_frame(folder(tmp_path, preprocessor_config={"size": {"longest_edge": 64}}), DEFAULT) == DEFAULT
    plain = read_frame(folder(tmp_path, preprocessor_config=OWN | {"do_normalize": False}), DEFAULT)
    assert (plain.mean, plain.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"size": {"height": 32, "width": 32}}, r"'size' is .*32.*, but the model of config.json takes 64 px"),
        ({"size": {"height": 64, "width": 32}}, "must be a square of whole pixels, got {'height': 64, 'width': 32}"),
        ({"image_mean": [0.5]}, r"'image_mean' must be three numbers, got \[0.5\]"),
        ({"image_mean": "grey"}, "'image_mean' must be three numbers, got 'grey'"),
        ({"image_std": [0.5, 0, 0.5]}, r"'image_std' must be above 0, got \[0.5, 0.0, 0.5\]"),
        ({"do_rescale": False}, "pixels must be rescaled by 1/255, got 'rescale_factor' None"),
        ({"rescale_factor": 1.0}, "pixels must be rescaled by 1/255, got 'rescale_factor' 1.0"),
    ],
)
def test_odd_numbers_are_told_in_one_line(tmp_path: Path, said: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told) as error:
        read_frame(folder(tmp_path, preprocessor_config=said), DEFAULT)
    assert "preprocessor_config.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [[64, 32], 0, True, 1.5, None, {}])
def test_no_square(size: object) -> None:
    with pytest.raises(ModelError, match=r"config\.json: the model's input must be a square"):
        square_side(size, "config.json")


@pytest.mark.parametrize("family", ["sam_hq", "sam2", "sam3"])
@pytest.mark.parametrize("nested", [True, False])
def test_each_family_reads_its_processor(tmp_path: Path, family: str, nested: bool) -> None:
    model = tiny_models.randomise(getattr(tiny_models, family)())
    usual = {"sam3": ((0.5, 0.5, 0.5),) * 2}.get(family, (SAM_MEAN, SAM_STD))
    plain = load(str(tiny_models.write(model, tmp_path / "plain")), device="cpu")
    assert (plain.frame.mean, plain.frame.std) == usual
    own = {key: OWN[key] for key in ("image_mean", "image_std")}
    changed = load(str(tiny_models.write(model, tmp_path / "own", own, nested=nested)), device="cpu")
    pixels = torch.rand(1, 3, plain.frame.side, plain.frame.side)
    mean, std = (torch.tensor(own[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    torch.testing.assert_close(changed.prepare(pixels), (pixels - mean) / std)


def test_sam_hq_sees_what_transformers_processor_gives(tmp_path: Path) -> None:
    """Within one level of 8 bits: the processor rounds the resized photo, we do not."""
    segmenter = load(str(tiny_models.write(tiny_models.randomise(tiny_models.sam_hq()), tmp_path)), device="cpu")
    side = segmenter.frame.side
    processor = SamImageProcessorPil(size={"longest_edge": side}, pad_size={"height": side, "width": side})
    for size in ((70, 101), (301, 200), (7, 5)):
        photo = make_photo(size)
        wanted = processor(photo.pixels, return_tensors="pt")["pixel_values"]
        found = segmenter.prepare(segmenter.resize(to_tensor(photo.pixels)[None]))
        assert found.shape == wanted.shape
        assert ((found - wanted).abs() * torch.tensor(SAM_STD).view(3, 1, 1)).max() <= 1 / 255


@pytest.mark.parametrize(("family", "processor"), [("sam2", Sam2Processor), ("sam3", Sam3TrackerProcessor)])
def test_coordinates_are_scaled_as_transformers_processor_does(tmp_path: Path, family: str, processor: Any) -> None:
    """Only this part of the processor runs without torchvision."""
    model = tiny_models.randomise(getattr(tiny_models, family)())
    segmenter = load(str(tiny_models.write(model, tmp_path)), device="cpu")
    height, width = 301, 200
    prompts = Prompts.of([(0, 0), (199, 300), (17.5, 250)])
    wanted = processor._normalize_coordinates(
        None, segmenter.frame.side, torch.from_numpy(prompts.points.copy()), (height, width)
    )
    found = segmenter.geometry((height, width)).to_model(prompts.points)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-6)
