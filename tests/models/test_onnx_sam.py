"""models/onnx_sam.py: the golden SAM, exported as encoder and decoder, answers as the torch model does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract import check_flat_memory, check_no_state, make_photo
from onnx_models import FLOAT, drop_first_mask, export_decoder, export_encoder, fix_points, write_graph

import segrobust
from segrobust.errors import CapabilityError, ModelError, UsageError
from segrobust.models import load
from segrobust.models.base import EverythingSettings, Promptable, require_white_box
from segrobust.models.sam import SamSegmenter
from segrobust.types import Masks, Prompts

SIZES = ((101, 131), (333, 200), (7, 5), (1, 9))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="session")
def encoder(tiny_sam: SamSegmenter, home: Path) -> Path:
    return export_encoder(tiny_sam, home / "encoder.onnx")


@pytest.fixture(scope="session")
def decoder(tiny_sam: SamSegmenter, home: Path) -> Path:
    return export_decoder(tiny_sam, home / "decoder.onnx")


def open_pair(encoder: Path, decoder: Path) -> Promptable:
    made = load(f"{encoder},{decoder}", device="cpu")
    assert isinstance(made, Promptable)
    return made


@pytest.fixture(scope="session")
def pair(encoder: Path, decoder: Path) -> Promptable:
    return open_pair(encoder, decoder)


def prompts_on(size: tuple[int, int]) -> Prompts:
    height, width = size
    points = [(width * x, height * y) for x, y in [(0.2, 0.3), (0.5, 0.5), (0.9, 0.7)]]
    return Prompts.of(points, [(0, 0, width, height), (width * 0.3, height * 0.2, width * 0.7, height * 0.9)])


def assert_alike(found: Masks, wanted: Masks, share: float = 0.999) -> None:
    assert found.size == wanted.size
    assert len(found) == len(wanted)
    np.testing.assert_allclose(found.predicted_iou, wanted.predicted_iou, atol=1e-3)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours == theirs).mean() >= share


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rule", ["single", "best"])
def test_answers_are_those_of_the_torch_model(
    pair: Promptable, tiny_sam: SamSegmenter, size: tuple[int, int], rule: str
) -> None:
    photo, prompts = make_photo(size, 3), prompts_on(size)
    wanted = tiny_sam.answer(photo, prompts, rule)
    assert_alike(pair.answer(photo, prompts, rule), wanted)
    assert size == (1, 9) or 0 < wanted.areas.sum() < 5 * size[0] * size[1]  # the comparison says something


def test_logits_are_those_of_the_torch_model(pair: Promptable, tiny_sam: SamSegmenter) -> None:
    images = torch.from_numpy(make_photo((101, 131)).pixels.copy()).permute(2, 0, 1)[None] / 255
    ours, theirs = pair, tiny_sam
    embedded, wanted = ours.embed(images), theirs.embed(images)
    torch.testing.assert_close(embedded.features, wanted.features, rtol=1e-3, atol=1e-4)
    for multimask in (False, True):
        found = ours.masks(embedded, prompts_on((101, 131)), multimask=multimask)
        reference = theirs.masks(wanted, prompts_on((101, 131)), multimask=multimask)
        assert found.logits.shape == reference.logits.shape
        torch.testing.assert_close(found.logits, reference.logits, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found.predicted_iou, reference.predicted_iou, rtol=1e-3, atol=1e-3)
    assert ours.masks(embedded, Prompts.of()).choose().size == (101, 131)
    together = ours.embed(images.repeat(2, 1, 1, 1))
    assert together.features.shape[0] == 2
    with pytest.raises(ValueError, match="the embedding of one photo, got 2"):
        ours.masks(together, prompts_on((101, 131)))


@pytest.mark.parametrize("raw", [("float", "free"), ("uint8", "fixed")])
def test_encoders_that_prepare_the_photo_themselves(
    tiny_sam: SamSegmenter, decoder: Path, tmp_path: Path, raw: tuple[str, str]
) -> None:
    photo, prompts = make_photo((101, 131), 3), prompts_on((101, 131))
    wanted = tiny_sam.answer(photo, prompts)
    found = open_pair(export_encoder(tiny_sam, tmp_path / "raw.onnx", raw=raw), decoder).answer(photo, prompts)
    if raw[0] == "float":
        assert_alike(found, wanted)
    else:  # whole pixel values are half a level off, which this random model's masks feel
        np.testing.assert_allclose(found.predicted_iou, wanted.predicted_iou, atol=0.05)
        assert np.mean([(ours == theirs).mean() for ours, theirs in zip(found, wanted, strict=True)]) > 0.97


def test_a_decoder_that_chooses_itself(tiny_sam: SamSegmenter, encoder: Path, tmp_path: Path) -> None:
    photo, prompts = make_photo((101, 131), 3), prompts_on((101, 131))
    model = open_pair(encoder, export_decoder(tiny_sam, tmp_path / "single.onnx", single=True))
    best = tiny_sam.answer(photo, prompts, "best")  # what SAM's own choice is for a click and for a box
    for rule in ("single", "best"):
        assert_alike(model.answer(photo, prompts, rule), best)


def test_a_decoder_with_three_masks(tiny_sam: SamSegmenter, encoder: Path, decoder: Path, tmp_path: Path) -> None:
    photo, prompts = make_photo((101, 131), 3), prompts_on((101, 131))
    model = open_pair(encoder, drop_first_mask(decoder, tmp_path / "three.onnx"))
    best = tiny_sam.answer(photo, prompts, "best")
    for rule in ("single", "best"):
        assert_alike(model.answer(photo, prompts, rule), best)


def test_a_decoder_with_a_fixed_number_of_points(
    tiny_sam: SamSegmenter, encoder: Path, decoder: Path, tmp_path: Path
) -> None:
    photo, prompts = make_photo((101, 131), 3), prompts_on((101, 131))
    two = open_pair(encoder, fix_points(decoder, tmp_path / "two.onnx", 2))
    assert_alike(two.answer(photo, prompts), tiny_sam.answer(photo, prompts))
    three = open_pair(encoder, fix_points(decoder, tmp_path / "three.onnx", 3))
    assert len(three.answer(photo, prompts)) == 5  # what is missing is padded


def test_everything_is_found_as_in_torch(pair: Promptable, tiny_sam: SamSegmenter) -> None:
    photo = make_photo((101, 131), 3)
    settings = EverythingSettings(
        points_per_side=2,
        predicted_iou_threshold=-1,
        stability_threshold=0,
        box_nms_threshold=1.0,
        crop_layers=1,
        crop_nms_threshold=1.0,
    )
    found, wanted = (segrobust.segment_everything(model, photo, settings) for model in (pair, tiny_sam))
    assert len(wanted) > 1
    assert found.boxes.tolist() == wanted.boxes.tolist()
    np.testing.assert_allclose(found.stability, wanted.stability, atol=1e-3)


def test_state_memory_and_gradients(pair: Promptable) -> None:
    model = pair
    check_no_state(model)
    check_flat_memory(model, photos=20)
    assert model.capabilities.names() == ("points", "boxes", "everything")
    assert len(model.fingerprint.split(",")) == 2  # type: ignore[attr-defined]
    with pytest.raises(CapabilityError, match="attack a surrogate"):
        require_white_box(model)


# --- files that cannot be driven ------------------------------------------------------------------------------------


def identity(file: Path, takes: dict[str, Any], gives: dict[str, str]) -> Path:
    """A graph whose outputs are its inputs."""
    return write_graph(
        file,
        [("Identity", [source], [name]) for name, source in gives.items()],
        takes,
        {name: takes[source] for name, source in gives.items()},
    )


DECODER = {
    "image_embeddings": (FLOAT, [1, 4, 8, 8]),
    "point_coords": (FLOAT, [1, "n", 2]),
    "point_labels": (FLOAT, [1, "n"]),
    "mask_input": (FLOAT, [1, 1, 32, 32]),
}
GIVES = {"low_res_masks": "mask_input", "iou_predictions": "point_labels"}


@pytest.mark.parametrize(
    ("photo", "changes", "says"),
    [
        ([1, 3, 256, 256], {}, "its mask_input of 32 belongs to an input of 128, not 256"),
        ([1, 3, 128, 256], {}, "a SAM's input is square, not 128 x 256"),
        ([1, 3, 128, "w"], {}, "must fix height and width, or neither"),
        ([1, 1, 128, 128], {}, "must have three channels, first or last"),
        ([4, 3, 128, 128], {}, r"must take one photo, \(1, 3, H, W\)"),
        ([1, 3, 128, 128], {"point_coords": None}, "a SAM decoder has point_coords"),
        ([1, 3, 128, 128], {"point_coords": (FLOAT, [1, 1, 2])}, "room for two points"),
        ([1, 3, 128, 128], {"high_res": (FLOAT, [1])}, "nobody knows what to give to high_res"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, photo: Any, changes: dict[str, Any], says: str) -> None:
    encoder = identity(tmp_path / "e.onnx", {"image": (FLOAT, photo)}, {"image_embeddings": "image"})
    takes = {name: value for name, value in (DECODER | changes).items() if value is not None}
    decoder = identity(tmp_path / "d.onnx", takes, GIVES)
    with pytest.raises(ModelError, match=says) as caught:
        load(f"{encoder},{decoder}", device="cpu")
    assert str(caught.value).startswith("cannot use ")
    assert "it has inputs: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_of_another_shape_lists_what_came(tmp_path: Path) -> None:
    encoder = identity(tmp_path / "e.onnx", {"image": (FLOAT, [1, 3, 128, 128])}, {"image_embeddings": "image"})
    decoder = identity(tmp_path / "d.onnx", DECODER | {"image_embeddings": (FLOAT, [1, 3, 128, 128])}, GIVES)
    with pytest.raises(ModelError, match=r"answered low_res_masks \(1, 1, 32, 32\), iou_predictions \(1, 2\) to one"):
        load(f"{encoder},{decoder}", device="cpu").answer(make_photo((9, 9)), Prompts.of([(1, 1)]))


def test_names_that_lead_nowhere(tmp_path: Path, tiny_sam: SamSegmenter) -> None:
    with pytest.raises(ModelError, match=r"cannot open .*nope\.onnx: no such file"):
        load(str(tmp_path / "nope.onnx"), device="cpu")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match=r"cannot open .*text\.onnx: .*INVALID_PROTOBUF"):
        load(str(tmp_path / "text.onnx"), device="cpu")
    with pytest.raises(UsageError, match="3 ONNX files; give one model, or encoder"):
        load("a.onnx,b.onnx,c.onnx", device="cpu")
    encoder = identity(tmp_path / "e.onnx", {"image": (FLOAT, [1, 3, 128, 128])}, {"image_embeddings": "image"})
    with pytest.raises(ModelError, match="is half of a SAM; give both files: encoder"):
        load(str(encoder), device="cpu")
    with pytest.raises(UsageError, match="takes no dtype"):
        load(str(encoder), device="cpu", dtype="float16")
