"""Universal perturbations: the optimum where it is known, the budget on photos of any size, the numbers of a seed."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from goals import LinearGoal
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import LinearSegmenter

from segrobust.attacks.recipes import attack, make_recipe, settings_of
from segrobust.attacks.saving import within
from segrobust.attacks.universal.album import Album, Shelf, crop
from segrobust.attacks.universal.files import Universal, read_universal, save_universal
from segrobust.attacks.universal.fit import FITS, fitted, natural_fit
from segrobust.attacks.universal.recipe import UNIVERSAL, UniversalRecipe, make_universal
from segrobust.attacks.universal.training import train_universal
from segrobust.attacks.updates import AutoStep, MomentumSign
from segrobust.errors import CapabilityError, GradientError, MissingError, UsageError
from segrobust.models.base import Capabilities
from segrobust.randomness import stream
from segrobust.types import Budget, Image

SIDE = 12
STEP = MomentumSign(1 / 255, 0.0)


def grey(number, size=(SIDE, SIDE)):
    """A photo from which no change is cut off; all differ."""
    return Image(np.random.default_rng(number).integers(100, 150, (*size, 3), dtype=np.uint8), name=f"p{number}")


@dataclasses.dataclass(frozen=True)
class OwnWeights:
    """``sum(w * features)``, with weights of each photo's own."""

    needs = ()

    @staticmethod
    def weights(photo):
        return np.random.default_rng(int(photo.fingerprint[:8], 16)).normal(size=(1, 3, *photo.size))

    def __call__(self, scene):
        weights = torch.from_numpy(self.weights(scene.image)).float()
        return lambda seen: (seen.features * weights).sum((1, 2, 3))


def on_a_line(**changes):
    return UniversalRecipe("line", **({"goal": OwnWeights(), "update": STEP, "epochs": 20} | changes))


@pytest.mark.parametrize("update", [STEP, MomentumSign(1 / 255, 0.9), AutoStep()])
def test_the_best_perturbation_of_linear_objectives(update):
    """It goes against the sign of the mean of all photos' weights, whatever each of them would rather have."""
    photos = [grey(number) for number in range(5)]
    trained = train_universal(LinearSegmenter(), photos, on_a_line(update=update, batch=5))
    mean = np.mean([OwnWeights.weights(photo) for photo in photos], axis=0)[0]
    assert np.allclose(trained.pattern, -8 / 255 * np.sign(mean), atol=1e-6)
    best = sum((OwnWeights.weights(p)[0] * p.pixels.transpose(2, 0, 1) / 255).sum() for p in photos) / 5
    assert trained.card["loss"][-1] == pytest.approx(best - 8 / 255 * np.abs(mean).sum(), rel=1e-4)


@pytest.mark.parametrize("fit", FITS)
def test_the_gradient_finds_the_way_back_from_every_size(fit):
    """Weights are those of the channel, so wherever a value goes, it pulls to its channel's side."""
    photos = [grey(0, (9, 14)), grey(1, (14, 9)), grey(2, (30, 30))]
    recipe = on_a_line(goal=LinearGoal(), fit=fit, side=SIDE, batch=2)
    trained = train_universal(LinearSegmenter(), photos, recipe)
    assert np.allclose(trained.pattern, np.array([-1, 1, -1])[:, None, None] * np.float32(8 / 255))
    assert trained.fit == fit


def test_tiles_add_up():
    """A value that lies on a photo four times is pulled by the sum of the four weights."""
    photo = grey(0, (8, 8))
    trained = train_universal(LinearSegmenter(), [photo], on_a_line(fit="tile", side=4))
    folded = OwnWeights.weights(photo)[0].reshape(3, 2, 4, 2, 4).sum((1, 3))
    assert np.allclose(trained.pattern, -8 / 255 * np.sign(folded), atol=1e-6)


def test_values_that_lie_on_no_photo_stay_where_they_started():
    wide = grey(0, (4, SIDE))
    trained = train_universal(LinearSegmenter(), [wide], on_a_line(goal=LinearGoal(), fit="long-side"))
    assert np.allclose(np.abs(trained.pattern[:, :4]), 8 / 255)
    assert (np.abs(trained.pattern[:, 4:]) < 8 / 255 - 1e-6).mean() > 0.95


@settings(max_examples=40)
@given(
    seed=st.integers(0, 99),
    sizes=st.lists(st.tuples(st.integers(1, 14), st.integers(1, 14)), min_size=1, max_size=3),
    fit=st.sampled_from(FITS),
    levels=st.integers(1, 40),
    step=st.floats(0.1, 90),
)
def test_what_is_trained_keeps_its_budget_whatever_the_step(seed, sizes, fit, levels, step):
    photos = [grey(seed + number, size) for number, size in enumerate(sizes)]
    recipe = on_a_line(fit=fit, epochs=2, side=6, update=MomentumSign(step / 255, 0.5), epsilon=f"{levels}/255")
    pattern = train_universal(LinearSegmenter(), photos, recipe, seed=seed).pattern
    assert pattern.shape == (3, 6, 6)
    assert 0 < np.abs(pattern).max() <= np.float32(levels / 255)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 99),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    fit=st.sampled_from(FITS),
    trained=st.integers(1, 30),
    budget=st.builds(
        Budget,
        st.integers(1, 60).map(lambda levels: Fraction(levels, 255)),
        st.sampled_from(["linf", "l2", "contrast"]),
    ),
)
def test_the_saved_photo_keeps_the_budget_whatever_its_size(tmp_path_factory, seed, size, fit, trained, budget):
    draw = np.random.default_rng(seed)
    epsilon = np.float32(trained / 255)
    pattern = draw.choice([-epsilon, epsilon, np.float32(0)], (3, 7, 7))
    file = save_universal(tmp_path_factory.mktemp("u") / "u.npy", Universal(pattern, f"{trained}/255", fit, {}))
    image = Image(draw.integers(0, 256, (*size, 3), dtype=np.uint8))
    saved = attack(LinearSegmenter(), image, "universal", file=str(file), budget=budget).image.pixels
    assert within(image.pixels, saved, budget)


@pytest.mark.parametrize("fit", FITS)
def test_a_perturbation_of_one_value_stays_it(fit):
    """Means of equal values: the whole budget, everywhere, whatever it was trained with."""
    pattern = np.full((3, 6, 6), 4 / 255, np.float32)
    for size in [(5, 6), (1, 40), (40, 1), (33, 21), (6, 6)]:
        assert np.allclose(Universal(pattern, "4/255", fit, {}).unit(size).numpy(), np.ones((1, 3, *size)))


def test_fits_by_hand():
    pattern = torch.arange(4.0).view(1, 1, 2, 2).expand(1, 3, 2, 2)  # 0 1 / 2 3
    assert fitted(pattern, (2, 2), "long-side").equal(pattern)
    assert fitted(pattern, (1, 2), "long-side")[0, 0].tolist() == [[0, 1]]
    assert fitted(pattern, (1, 2), "stretch")[0, 0].tolist() == [[1, 2]]
    assert fitted(pattern, (3, 5), "tile")[0, 0].tolist() == [[0, 1, 0, 1, 0], [2, 3, 2, 3, 2], [0, 1, 0, 1, 0]]
    assert fitted(pattern, (4, 2), "long-side")[0, 0].tolist() == [[0, 0], [0.5, 0.5], [1.5, 1.5], [2, 2]]


def test_the_model_sees_the_same_on_every_shape(tiny_sam):
    """``long-side`` on SAM: photos of other shapes have the same corner of the perturbation in the model's input."""
    assert natural_fit(tiny_sam) == "long-side"
    side = tiny_sam.geometry((1, 1)).side
    pattern = torch.nn.functional.interpolate(torch.randn(1, 3, 8, 8), (side, side), mode="bicubic")
    wide, square = (tiny_sam.resize(fitted(pattern, size, "long-side")) for size in ((60, 120), (120, 120)))
    assert wide.shape[-2:] == (side // 2, side)
    inner = np.s_[..., : side // 2 - 8, :]
    assert torch.allclose(wide[inner], square[inner], atol=0.02)


@pytest.mark.parametrize("name", UNIVERSAL)
def test_every_recipe_trains_repeats_and_keeps_its_budget(tiny_sam, name):
    photos = [grey(number, (40, 60 - 7 * number)) for number in range(3)]
    small = {"epochs": 2, "side": 32} | ({"prompts": 2} if "darksam" in name else {"batch": 2})
    run = lambda seed: train_universal(tiny_sam, photos, name, seed=seed, **small)  # noqa: E731
    first, other = run(3), run(4)
    torch.manual_seed(1)
    again = run(3)
    assert np.array_equal(first.pattern, again.pattern)
    assert not np.array_equal(first.pattern, other.pattern)
    timeless = [{key: value for key, value in t.card.items() if key != "seconds"} for t in (first, again)]
    assert timeless[0] == timeless[1]
    card, epsilon = first.card, make_universal(name).epsilon
    assert first.epsilon == card["epsilon"] == epsilon
    assert np.abs(first.pattern).max() <= np.float32(Budget.parse(epsilon).value)
    assert [entry["sha256"] for entry in card["photos"]] == [photo.fingerprint for photo in photos]
    assert card["model_sha256"] == tiny_sam.fingerprint
    steps = len(card["loss"])
    assert steps == (6 if "darksam" in name else 4)
    assert card["encoder_backward"] == (12 if name == "sam-uap" else 6)
    assert card["encoder_forward"] == {"sam-uap": 12 + 3}.get(name, 6 + 3)  # negatives, or the clean photos once
    json.dumps(card)


@pytest.mark.parametrize("name", ["uap-momentum", "darksam", "sam-uap"])
def test_training_lowers_the_loss_on_all_photos(tiny_sam, name):
    photos = [grey(number, (40, 60)) for number in range(2)]
    changes = {"prompts": 2} if name == "darksam" else {}
    whole = dataclasses.replace(make_universal(name, epochs=12, **changes), batch=2, augment=False)
    loss = train_universal(tiny_sam, photos, whole, seed=1).card["loss"]
    assert min(loss[-3:]) < loss[0]


def test_the_photo_leaves_its_embedding_farther_than_under_noise(tiny_sam, tmp_path):
    """On a photo that it was not trained on."""
    photos, other = [grey(number, (48, 64)) for number in range(4)], grey(9, (60, 64))
    file = save_universal(tmp_path / "u.npy", train_universal(tiny_sam, photos, epochs=10))

    def similarity(pixels):
        a, b = (tiny_sam.embed(torch.from_numpy(p.copy()).permute(2, 0, 1) / 255).features for p in pixels)
        return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))

    made = {name: attack(tiny_sam, other, name, **more).image.pixels for name, more in
            {"universal": {"file": str(file)}, "sign-noise": {}}.items()}  # fmt: skip
    assert similarity((other.pixels, made["universal"])) < similarity((other.pixels, made["sign-noise"]))


def test_files_and_cards(tmp_path):
    trained = train_universal(LinearSegmenter(), [grey(0)], on_a_line(epochs=2))
    file = save_universal(tmp_path / "new" / "u.npy", trained)
    assert sorted(p.name for p in file.parent.iterdir()) == ["u.json", "u.npy", "u.png"]
    back = read_universal(file)
    assert np.array_equal(back.pattern, trained.pattern)
    assert (back.epsilon, back.fit) == ("8/255", trained.fit)
    assert back.card["loss"] == trained.card["loss"]
    start = settings_of(make_recipe("universal", file=str(file)))["start"]
    assert start["sha256"] == back.card["sha256"]
    assert (start["kind"], start["recipe"], start["epsilon"]) == ("FromFile", "line", "8/255")


def test_the_picture_shows_epsilon_as_white(tmp_path):
    from segrobust.io.images import read_image

    pattern = np.zeros((3, 2, 2), np.float32)
    pattern[0, 0, 0], pattern[1, 1, 1] = np.float32(8 / 255), -np.float32(8 / 255)
    save_universal(tmp_path / "u.npy", Universal(pattern, "8/255", "tile", {}))
    pixels = read_image(tmp_path / "u.png").pixels
    assert (pixels[0, 0, 0], pixels[1, 1, 1]) == (255, 0)
    assert pixels[0, 1].tolist() == [128] * 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: f.with_suffix(".json").unlink(), "the card of a universal perturbation: No such file"),
        (lambda f: f.with_suffix(".json").write_text("{"), "is no card"),
        (lambda f: f.with_suffix(".json").write_text('{"schema": "other"}'), "is no card"),
        (lambda f: f.write_bytes(f.read_bytes()[:-1] + b"\0"), "card of another perturbation"),
        (lambda f: f.unlink(), "cannot read .*u.npy"),
        (lambda f: edit(f, epsilon="1/255"), "largest value is 8/255, not 1/255"),
        (lambda f: edit(f, epsilon="l2:3"), "under L-infinity"),
        (lambda f: edit(f, fit="glue"), "fit 'glue' is not one of long-side, stretch, tile"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damage, said):
    file = save_universal(tmp_path / "u.npy", Universal(np.full((3, 4, 4), 8 / 255, np.float32), "8/255", "tile", {}))
    damage(file)
    with pytest.raises((UsageError, MissingError), match=said):
        make_recipe("universal", file=str(file))


def edit(file, **changes):
    card = file.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


@pytest.mark.parametrize("array", [np.zeros((3, 4, 5), np.float32), np.zeros((3, 4, 4)), np.zeros((4, 4), np.float32)])
def test_other_arrays_are_refused(array):
    with pytest.raises(UsageError, match="float32 \\(3, S, S\\)"):
        Universal(array, "8/255", "tile", {})


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(UsageError, match="largest value is nan"):
        Universal(np.full((3, 2, 2), np.nan, np.float32), "8/255", "tile", {})


def test_an_attack_without_or_with_another_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs the file of a perturbation: --universal FILE"):
        attack(LinearSegmenter(), grey(0), "universal")
    pattern = np.full((3, 4, 4), 8 / 255, np.float32)
    file = save_universal(tmp_path / "u.npy", Universal(pattern, "8/255", "tile", {}))
    recipe = make_recipe("universal", file=str(file))
    save_universal(file, Universal(-pattern, "8/255", "tile", {}))
    with pytest.raises(UsageError, match="has changed since"):
        attack(LinearSegmenter(), grey(0), recipe)
    with pytest.raises(UsageError, match=r"is a \.npy file, got 'x.png'"):
        make_recipe("universal", file="x.png")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "uap"}, "unknown recipe 'uap'.*darksam"),
        ({"epoch": 3}, "no parameter 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"side": 5000}, "side must be in 1 .. 4096"),
        ({"fit": "glue"}, "fit 'glue' is not one of"),
        ({"step_size": 2.0}, "write 2/255"),
        ({"objective": "cosin"}, "did you mean 'cosine'"),
        ({"recipe": "sam-uap", "negatives": 0}, "negatives is at least 1"),
        ({"recipe": "sam-uap", "temperature": 0.0}, "temperature must be positive"),
        ({"budget": "l2:3"}, "under L-infinity, written 8/255"),
        ({"budget": "0.3/255"}, "less than one level"),
        ({"photos": []}, "trained on photos; got none"),
    ],
)
def test_wrong_settings_are_refused(changes, said):
    arguments = {"photos": [grey(0)], "recipe": "uap-momentum"} | changes
    with pytest.raises(UsageError, match=said):
        train_universal(LinearSegmenter(), **arguments)


def test_what_cannot_train_says_so():
    black = LinearSegmenter()
    black.capabilities = Capabilities(gradient=False, points=True, boxes=True, everything=True)
    with pytest.raises(CapabilityError, match="gives no gradients"):
        train_universal(black, [grey(0)])
    with pytest.raises(UsageError, match="go with a recipe's name"):
        train_universal(LinearSegmenter(), [grey(0)], on_a_line(), epochs=3)


@dataclasses.dataclass(frozen=True)
class OnlyDark:
    """Dark photos are pushed up, others have no gradient."""

    needs = ()

    def __call__(self, scene):
        weight = float(scene.image.pixels.mean() < 100)
        return lambda seen: -weight * seen.features.sum((1, 2, 3))


def test_a_photo_beyond_help_does_not_end_the_training():
    dark, bright = Image(np.full((6, 6, 3), 50, np.uint8)), grey(0, (6, 6))
    trained = train_universal(LinearSegmenter(), [bright, dark], on_a_line(goal=OnlyDark(), batch=2))
    assert np.allclose(trained.pattern, 8 / 255)
    for photos in ([bright, dark], [dark, bright]):  # whichever comes first
        assert np.allclose(train_universal(LinearSegmenter(), photos, on_a_line(goal=OnlyDark())).pattern, 8 / 255)
    with pytest.raises(GradientError, match="zero everywhere"):
        train_universal(LinearSegmenter(), [bright, bright], on_a_line(goal=OnlyDark()))


def test_every_round_sees_every_photo_once_in_another_order():
    album = Album(LinearSegmenter(), [grey(n) for n in range(7)], Budget.parse("8/255"), 0, "x", batch=3)
    rounds = [[n for step in range(3 * r, 3 * r + 3) for n in album.batch_of(step)] for r in range(3)]
    assert all(sorted(numbers) == list(range(7)) for numbers in rounds)
    assert len({tuple(numbers) for numbers in rounds}) == 3
    assert len(album.batch_of(2)) == 1


def test_photos_on_a_shelf_are_read_when_they_are_asked_for():
    asked = []
    shelf = Shelf([lambda n=n: asked.append(n) or grey(n) for n in range(3)])
    assert (len(shelf), asked) == (3, [])
    assert shelf[1].name == "p1"
    assert [photo.name for photo in shelf[1:]] == ["p1", "p2"]
    assert asked == [1, 1, 2]


def test_a_recipe_that_augments_shows_crops_and_one_that_does_not_shows_photos():
    @dataclasses.dataclass(frozen=True)
    class Noting(OwnWeights):
        sizes: set = dataclasses.field(default_factory=set)

        def __call__(self, scene):
            self.sizes.add(scene.image.size)
            return super().__call__(scene)

    photos, goals = [grey(number, (20, 30)) for number in range(4)], (Noting(), Noting())
    for goal, augment in zip(goals, (False, True), strict=True):
        train_universal(LinearSegmenter(), photos, on_a_line(goal=goal, epochs=3, augment=augment))
    assert goals[0].sizes == {(20, 30)}
    assert len(goals[1].sizes) > 5
    assert {name for name in UNIVERSAL if make_universal(name).augment} == {"sam-uap"}


def test_crops_are_parts_of_the_photo():
    photo = grey(0, (20, 30))
    crops = [crop(photo, stream(0, str(n))) for n in range(20)]
    assert all(16 <= part.height <= 20 and 24 <= part.width <= 30 for part in crops)
    values = {tuple(pixel) for pixel in photo.pixels.reshape(-1, 3)}
    assert all({tuple(pixel) for pixel in part.pixels.reshape(-1, 3)} <= values for part in crops)
    assert len({part.size for part in crops}) > 5
    assert crop(Image(photo.pixels[:1, :1]), stream(0)).size == (1, 1)
