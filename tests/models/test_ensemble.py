"""Names of ensembles, and what an ensemble is to everybody but an attack: its first member."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from linear import LinearSegmenter
from runs import Silent, configure, make_other_model, make_photo, records

from segrobust.benchmark.run import run
from segrobust.benchmark.verify import verify
from segrobust.defences.adaptive import Adaptive, adaptive
from segrobust.errors import CapabilityError, ModelError, UsageError
from segrobust.models import load
from segrobust.models.base import Embedding, EverythingFirst
from segrobust.models.ensemble import Ensemble, made_on, members, require_single
from segrobust.models.ensemble_names import ensemble_name, members_of, rule_of
from segrobust.models.registry import provenance
from segrobust.types import Image, Prompts


class Other(LinearSegmenter):
    """Upside down, with another name."""

    name = "other"

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * inputs.flip(-2)

    def embed(self, images: torch.Tensor) -> Embedding:
        return super().embed(self.encode(images))


class FindsFirst(LinearSegmenter):
    name = "finder"

    def find_masks(self, image, settings):
        return "found"


@pytest.mark.parametrize(
    ("name", "names", "rule"),
    [
        ("nano", (), "mean"),
        ("FastSAM-s@photo", (), "mean"),
        ("http://host/a+b", (), "mean"),
        ("nano+nano-hiera", ("nano", "nano-hiera"), "mean"),
        ("nano+nano-hiera@alternate", ("nano", "nano-hiera"), "alternate"),
        ("nano+a/b+c@adaptive", ("nano", "a/b", "c"), "adaptive"),
        ("nano+FastSAM-s@photo", ("nano", "FastSAM-s@photo"), "mean"),
        ("nano+FastSAM-s@photo@alternate", ("nano", "FastSAM-s@photo"), "alternate"),
    ],
)
def test_names(name: str, names: tuple[str, ...], rule: str) -> None:
    assert (members_of(name), rule_of(name)) == (names, rule)
    if names:
        assert ensemble_name(names, rule) == name


def test_it_is_its_first_member() -> None:
    one, two = LinearSegmenter(), Other()
    both = Ensemble([one, two], "alternate")
    image = Image(np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8))
    prompts = Prompts.of(points=[(1, 1)])
    assert both.name == "linear+other@alternate"
    assert both.answer(image, prompts).rles == one.answer(image, prompts).rles
    assert both.answer(image, prompts).rles != two.answer(image, prompts).rles
    assert [m.rles for m in both.candidates(image, prompts)] == [m.rles for m in one.candidates(image, prompts)]
    pixels = torch.rand((1, 3, 6, 7))
    for layers in ((), (1,)):
        assert torch.equal(both.observe(pixels, layers).features, pixels)
    assert torch.equal(both.embed(pixels).features, both.encode(both.prepare(both.resize(pixels))))
    assert both.embed_photos([image])[0].geometry == both.geometry((6, 7)) == one.geometry((6, 7))
    assert (both.depth, both.device, both.views_at_a_time(5)) == (3, one.device, 5)
    assert members(both) == (one, two)
    assert members(one) == (one,)


def test_it_finds_masks_as_its_first_member_does() -> None:
    assert not isinstance(Ensemble([LinearSegmenter(), FindsFirst()]), EverythingFirst)
    both = Ensemble([FindsFirst(), LinearSegmenter()])
    assert isinstance(both, EverythingFirst)
    assert both.find_masks(None, None) == "found"


def test_its_fingerprint_changes_with_every_member_their_order_and_the_rule() -> None:
    one, two = LinearSegmenter(), Other()
    two.fingerprint = "b"
    before = {Ensemble(m, r).fingerprint for m in ([one, two], [two, one]) for r in ("mean", "alternate")}
    two.fingerprint = "c"
    assert len(before | {Ensemble([one, two]).fingerprint}) == 5


def test_the_record_of_its_members() -> None:
    one, two = LinearSegmenter(), Other()
    two.fingerprint = "b"
    told = {"rule": "adaptive", "members": [{"model": "linear", "sha256": ""}, {"model": "other", "sha256": "b"}]}
    assert made_on(Ensemble([one, two], "adaptive")) == {"ensemble": told}
    assert made_on(one) == {}
    assert provenance("nano+nano-hiera")["family"] == "nano (SAM decoder); SAM 2"
    assert provenance("nano+nano-robust")["family"] == "nano (SAM decoder)"
    assert provenance("nano+nano-hiera")["licence"] == provenance("nano")["licence"]


def test_behind_a_defence_every_member_is() -> None:
    behind = adaptive(Ensemble([LinearSegmenter(), Other()], "alternate"), "bits-4")
    assert isinstance(behind, Ensemble)
    assert behind.rule == "alternate"
    assert all(isinstance(member, Adaptive) for member in behind.members)


class Blind(LinearSegmenter):
    name = "blind"
    capabilities = LinearSegmenter.capabilities.__class__(gradient=False, points=True, boxes=True, everything=True)


class Elsewhere(LinearSegmenter):
    device = torch.device("meta")


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Ensemble([LinearSegmenter()]), UsageError, "at least two members, got 1"),
        (lambda: Ensemble([LinearSegmenter(), Blind()]), CapabilityError, "model 'blind' gives no gradients"),
        (lambda: Ensemble([LinearSegmenter(), Elsewhere()]), UsageError, "on one device, got cpu, meta"),
        (lambda: Ensemble([LinearSegmenter(), Other()], "sum"), ModelError, "one of mean, adaptive, alternate, got"),
        (
            lambda: Ensemble([LinearSegmenter(), Ensemble([LinearSegmenter(), Other()])]),
            CapabilityError,
            "single models",
        ),
        (
            lambda: require_single(Ensemble([LinearSegmenter(), Other()]), "a prior is"),
            CapabilityError,
            "a prior is one model, not an ensemble ('linear+other'); name 'linear'",
        ),
        (lambda: load("nano+nanoo"), ModelError, "unknown model 'nanoo'; did you mean 'nano'?"),
        (lambda: load("nano+nano"), UsageError, "'nano+nano' names a model twice"),
        (lambda: load("nano+nano-vit@alternte"), ModelError, "got 'alternte'"),
        (lambda: load("nano+nano-vit", checkpoint="x.pth"), UsageError, "a checkpoint is of one model"),
    ],
)
def test_what_is_refused(make, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_loaded_by_name_and_a_folder_may_have_a_plus_in_its_name(golden: Path, tmp_path: Path) -> None:
    both = load(f"nano+{golden / 'tiny-sam'}@adaptive", device="cpu")
    assert isinstance(both, Ensemble)
    assert [member.name for member in both.members] == ["nano", str(golden / "tiny-sam")]
    assert both.rule == "adaptive"
    (tmp_path / "a+b").symlink_to(golden / "tiny-sam")
    assert load(str(tmp_path / "a+b"), device="cpu").name == str(tmp_path / "a+b")


def test_a_run_of_photos_attacks_an_ensemble_and_asks_its_first_member(tiny_model: Path, tmp_path: Path) -> None:
    other = make_other_model(tiny_model, tmp_path / "other")
    photo, out = make_photo(tmp_path / "a.png"), tmp_path / "out"
    config = configure(f"{tiny_model}+{other}@alternate", photo, attacks=("pgd",))
    run(config, out, Silent())
    record = next(line for line in records(out) if line["attack"] == "pgd")
    assert record["state"] == "done"
    told = json.loads((out / "run.json").read_text())["ensemble"]
    assert told["rule"] == "alternate"
    assert [len(member["sha256"]) for member in told["members"]] == [64, 64]
    assert record["notes"][-1].startswith("made on ")
    assert verify(out) == []
