"""Official files: names against the authors' own lists, the tiny SAM in their layout, and files of other models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from official_names import official_shapes, to_official
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import SamConfig, SamHQConfig, SamHQModel, SamModel

from segrobust.errors import ModelError, UsageError
from segrobust.models import load
from segrobust.models.base import WhiteBox
from segrobust.models.geometry import to_tensor
from segrobust.models.recognise import recognise, refuse_other
from segrobust.models.sam_names import sam_config, to_transformers
from segrobust.models.sniff import sha256
from segrobust.types import Prompts

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def tiny_state(golden: Path) -> State:
    return load_file(golden / "tiny-sam" / "model.safetensors")


@pytest.fixture(scope="module")
def tiny_pth(tiny_state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("official") / "tiny.pth"
    torch.save(to_official(tiny_state), file)
    return file


def shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def test_the_tiny_model_in_official_naming_has_the_authors_names(golden: Path, tiny_state: State) -> None:
    assert shapes(to_official(tiny_state)) == shapes(official_shapes(golden, "tiny-sam"))


def test_there_and_back(tiny_state: State) -> None:
    back = to_transformers(to_official(tiny_state))
    assert set(back) == set(tiny_state)
    assert all(torch.equal(back[key], value) for key, value in tiny_state.items())
    assert set(to_transformers(tiny_state)) == set(tiny_state)  # these names already: nothing changes


@pytest.mark.parametrize(
    ("name", "config", "kind"),
    [("tiny-sam", SamConfig, SamModel), ("sam_vit_b", SamConfig, SamModel), ("sam_hq_vit_b", SamHQConfig, SamHQModel)],
)
def test_every_official_weight_has_its_place_in_transformers(golden: Path, name: str, config: type, kind: type) -> None:
    state = to_transformers(official_shapes(golden, name))
    with torch.device("meta"):
        model = kind(config(**sam_config(state)))
    wanted = shapes(model.state_dict())
    wanted.pop("prompt_encoder.shared_embedding.positional_embedding")
    assert shapes(state) == wanted


@pytest.mark.parametrize(("name", "default"), [("sam_vit_b", SamConfig()), ("sam_hq_vit_b", SamHQConfig())])
def test_the_shapes_give_the_published_configuration(golden: Path, name: str, default: SamConfig) -> None:
    made = type(default)(**sam_config(to_transformers(official_shapes(golden, name))))
    ours, theirs = made.to_dict(), default.to_dict()
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        assert {k: v for k, v in ours[part].items() if theirs[part].get(k) != v} == {}


def test_the_shapes_give_the_tiny_configuration(golden: Path, tiny_state: State) -> None:
    stored = json.loads((golden / "tiny-sam" / "config.json").read_text())
    derived = sam_config(tiny_state)
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        assert {key: stored[part][key] for key in derived[part] if key in stored[part]} == derived[part]


def test_an_official_file_gives_the_authors_numbers(golden: Path, tiny_pth: Path, tiny_sam: WhiteBox) -> None:
    ours = load(str(tiny_pth), device="cpu")
    assert ours.fingerprint == sha256(tiny_pth)
    photo = np.array(Image.open(golden / "image.png").convert("RGB"))
    with np.load(golden / "predict.npz") as official:
        small = Image.fromarray(photo).resize(tuple(int(v) for v in official["resized_hw"][::-1]), 2)
        theirs = torch.from_numpy(official["image_embedding"])
    with torch.no_grad():
        embedding = ours.encode(ours.prepare(to_tensor(np.array(small))[None]))
        assert (embedding - theirs).abs().max() < 1e-4 * theirs.abs().max()
        prompts = Prompts.of(points=[(50, 60)], boxes=[(10, 20, 90, 80)])
        same, other = (sam.masks(sam.embed(to_tensor(photo)), prompts).logits for sam in (ours, tiny_sam))
    assert (same - other).abs().max() < 1e-5  # weights that lie elsewhere in memory differ in the last bits


@pytest.mark.parametrize("how", ["wrapped", "module.", "half", "safetensors", "transformers"])
def test_ways_in_which_files_come(tiny_state: State, tiny_sam: WhiteBox, tmp_path: Path, how: str) -> None:
    state, file = to_official(tiny_state), tmp_path / "tiny.pt"
    if how == "wrapped":
        torch.save({"model": state, "epoch": 3}, file)
    elif how == "module.":
        torch.save({f"module.{key}": value for key, value in state.items()}, file)
    elif how == "half":
        torch.save({key: value.half() for key, value in state.items()}, file)
    elif how == "safetensors":
        save_file(state, file := tmp_path / "tiny.safetensors")
    else:
        torch.save(tiny_state, file)
    photo = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got, wanted = load(str(file), device="cpu").embed(photo).features, tiny_sam.embed(photo).features
    assert (got - wanted).abs().max() < (1e-2 if how == "half" else 1e-6)


def test_gradients_reach_the_pixels(tiny_pth: Path) -> None:
    photo = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0)).requires_grad_()
    load(str(tiny_pth), device="cpu").embed(photo).features.square().sum().backward()
    assert photo.grad is not None
    assert photo.grad.abs().min() > 0


def test_a_file_beside_its_config_stands_for_the_folder(golden: Path) -> None:
    sam = load(str(golden / "tiny-sam" / "model.safetensors"), device="cpu")
    assert sam.fingerprint == load(str(golden / "tiny-sam"), device="cpu").fingerprint


def vit(width: int, depth: int, encoder: str = "image_encoder", blocks: str = "blocks") -> State:
    """What tells the size of a SAM."""
    state = {f"{encoder}.{blocks}.{i}.norm1.weight": torch.empty(width, device="meta") for i in range(depth)}
    return state | {f"{encoder}.pos_embed": torch.empty(1, 64, 64, width, device="meta")}


def hiera(width: int, depth: int, *, memory: bool) -> State:
    state = {f"image_encoder.trunk.blocks.{i}.norm1.weight": torch.empty(width, device="meta") for i in range(depth)}
    if memory:
        state["no_obj_embed_spatial"] = torch.empty(1, 64, device="meta")
    return state | {"image_encoder.trunk.patch_embed.proj.weight": torch.empty(width, 3, 7, 7, device="meta")}


HQ = {"mask_decoder.hf_token.weight": torch.empty(1, 256, device="meta")}


@pytest.mark.parametrize(
    ("state", "title", "name"),
    [
        (vit(768, 12), "SAM ViT-B", "sam_vit_b"),
        (vit(1024, 24), "SAM ViT-L", "sam_vit_l"),
        (vit(1280, 32), "SAM ViT-H", "sam_vit_h"),
        (vit(1280, 32, "vision_encoder", "layers"), "SAM ViT-H", "sam_vit_h"),
        (vit(64, 3), "a SAM of its own size (width 64, 3 blocks)", ""),
        (vit(1024, 24) | HQ, "SAM-HQ ViT-L", "syscv-community/sam-hq-vit-large"),
        (hiera(96, 12, memory=False), "SAM 2 Hiera tiny", "facebook/sam2-hiera-tiny"),
        (hiera(112, 24, memory=True), "SAM 2.1 Hiera base-plus", "facebook/sam2.1-hiera-base-plus"),
        ({"model.0.conv.weight": torch.empty(80, 3, 3, 3, device="meta")}, "FastSAM-x", "FastSAM-x"),
    ],
)
def test_what_a_file_is(state: State, title: str, name: str) -> None:
    found = recognise(state, Path("x.pth"))
    assert (found.title, found.name) == (title, name)


@pytest.mark.parametrize("name", ["mobile_sam", "efficient_sam_ti"])
def test_what_the_small_ones_are(golden: Path, name: str) -> None:
    listed = json.loads((golden / f"{name}_keys.json").read_text())
    state = {key: torch.empty(shape, device="meta") for key, shape in listed.items()}
    assert recognise(state, Path("x.pt")).name == {"efficient_sam_ti": "efficient_sam_vitt"}.get(name, name)


def test_another_model_than_asked_for() -> None:
    with pytest.raises(ModelError, match=r"x\.pth is SAM ViT-H; you asked for sam_vit_b: use -m sam_vit_h"):
        refuse_other(vit(1280, 32), Path("x.pth"), "sam_vit_b")
    refuse_other(vit(1280, 32), Path("x.pth"), "sam_vit_h")


def test_the_wrong_checkpoint_for_a_name(tiny_pth: Path) -> None:
    with pytest.raises(ModelError, match=r"is a SAM of its own size .* you asked for sam_vit_b: give the file itself"):
        load("sam_vit_b", device="cpu", checkpoint=tiny_pth)
    with pytest.raises(UsageError, match="is a file of weights already"):
        load(str(tiny_pth), device="cpu", checkpoint=tiny_pth)


def test_weights_that_are_not_here_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path))
    wanted = rf"'segrobust models download sam_vit_l'; or put sam_vit_l_0b3195\.pth into {tmp_path}/weights"
    with pytest.raises(ModelError, match=wanted):
        load("sam_vit_l", device="cpu")


def test_files_that_are_no_model_here(tmp_path: Path, tiny_state: State) -> None:
    file = tmp_path / "x.pth"
    torch.save({"encoder.weight": torch.ones(2), "encoder.bias": torch.ones(2)}, file)
    with pytest.raises(
        ModelError, match=r"of no model that is known here; its 2 names begin with encoder\.weight, enc"
    ):
        load(str(file), device="cpu")
    torch.save({k: torch.zeros(v.shape) for k, v in hiera(96, 12, memory=True).items()}, file)
    with pytest.raises(
        ModelError, match=r"SAM 2\.1 Hiera tiny, which .* the same weights are -m facebook/sam2\.1-hiera-t"
    ):
        load(str(file), device="cpu")
    incomplete = to_official(tiny_state)
    incomplete.pop("mask_decoder.iou_token.weight")
    torch.save(incomplete, file)
    with pytest.raises(ModelError, match=r"cannot load .*x\.pth: the weights lack 'mask_decoder\.iou_token\.weight'"):
        load(str(file), device="cpu")
    torch.save(to_official(tiny_state) | {"extra.weight": torch.ones(1)}, file)
    with pytest.raises(ModelError, match=r"do not fit a SAM: .*extra\.weight"):
        load(str(file), device="cpu")
