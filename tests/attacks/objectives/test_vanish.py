"""One object goes and the others stay; a mask that is shown instead; what the user gives for it."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.objectives.masks import AtPhotoSize
from segrobust.attacks.objectives.questions import Given
from segrobust.attacks.objectives.shown_goals import ShowMask, other_mask, read_mask
from segrobust.attacks.objectives.vanish import Sum, Vanish
from segrobust.attacks.recipes import attack
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Seen
from segrobust.errors import UsageError
from segrobust.io.images import write_png
from segrobust.models.base import Prediction
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Image, Masks, Prompts

SIZE = (30, 40)
DENSE = np.zeros((3, *SIZE), bool)
DENSE[0, 2:12, 3:15] = True
DENSE[1, 18:28, 20:38] = True
DENSE[2, 1:13, 2:16] = True  # around the first


class Spots(LinearSegmenter):
    """A mask for the nearest of two spots, bright pixels of which belong to it."""

    def masks(self, embedding, prompts, *, multimask=False):
        inside = torch.from_numpy(DENSE[:2]).float()
        centres = np.array([[9.0, 7.0], [29.0, 23.0]])
        where = np.concatenate([prompts.points, (prompts.boxes[:, :2] + prompts.boxes[:, 2:]) / 2])
        nearest = np.linalg.norm(where[:, None] - centres, axis=2).argmin(1)
        bright = (embedding.features.mean(1, keepdim=True) - 0.5) * 20
        logits = bright * inside[nearest][:, None] - 20 * (1 - inside[nearest][:, None])
        k = 3 if multimask else 1
        return Prediction(logits.expand(-1, k, -1, -1), torch.ones(len(prompts), k), embedding.geometry)


PHOTO = Image(np.full((*SIZE, 3), 140, np.uint8))


def scene(masks=DENSE, model=None):
    return Scene(
        model or Spots(),
        PHOTO,
        to_tensor(PHOTO.pixels)[None],
        Budget.parse("8/255"),
        0,
        "test",
        Masks.from_dense(masks),
    )


def mask_file(folder, mask):
    return str(write_png(folder / "mask.png", np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255))


@pytest.mark.parametrize("named", ["click", "box", "mask"])
def test_the_named_object_darkens_and_the_other_stays(tmp_path, named):
    given = {"click": "9,7", "box": "3,2,14,11", "mask": mask_file(tmp_path, DENSE[0])}
    result = attack(Spots(), PHOTO, "vanish", steps=8, clean_masks=Masks.from_dense(DENSE), **{named: given[named]})
    change = result.image.pixels.astype(int).mean(axis=2) - 140
    assert (change[DENSE[0]] == -8).all()
    assert (change[~DENSE[0]] == 0).all()


def test_by_default_the_largest_mask_goes():
    result = attack(Spots(), PHOTO, "vanish", steps=2, clean_masks=Masks.from_dense(DENSE[:2]))
    change = result.image.pixels.astype(int).mean(axis=2) - 140
    assert (change[DENSE[1]] < 0).all()
    assert (change[DENSE[0]] == 0).all()


def test_what_overlaps_the_object_is_not_kept():
    """Of the three masks one is the object, one lies around it; the third is kept: by a point in it and its box."""
    objective = Vanish(click=(9.0, 7.0))(scene())
    assert [weight for weight, _ in objective.parts] == [1.0, 1.0]
    kept = objective.parts[1][1].prompts
    assert kept.point_masks.tolist() == kept.box_masks.tolist() == [1]
    gone = objective.parts[0][1].prompts
    assert len(gone.points) == 8 + 1
    assert gone.points[-1].tolist() == [9, 7]
    alone = scene(DENSE[[0, 2]])
    objective = Vanish(click=(9.0, 7.0))(alone)
    assert not isinstance(objective, Sum)
    assert alone.notes == ["no other masks: nothing is kept"]
    assert not isinstance(Vanish(click=(9.0, 7.0), keep=0.0)(scene()), Sum)


def test_a_change_of_what_is_kept_costs_its_weight():
    goal = Vanish(click=(9.0, 7.0), keep=3.0)
    objective = goal(scene())
    pixels = to_tensor(PHOTO.pixels)[None].clone()
    model = Spots()

    def loss(image):
        return float(objective(Seen(image, {}, (), model, model.geometry(SIZE), count=1)))

    before = loss(pixels)
    pixels[:, :, torch.from_numpy(DENSE[1])] += 0.1  # logits + 2 where the kept mask is
    assert loss(pixels) - before == pytest.approx(3 * 4 * DENSE[1].sum() / DENSE[1].size, rel=1e-3)


def test_the_needs_follow_what_is_given():
    assert Vanish().needs == ("decoder", "masks")
    assert Vanish(click=(1.0, 1.0), keep=0.0).needs == ("decoder",)
    assert ShowMask(Given(((1.0, 1.0),)), mask="file.png").needs == ("decoder",)
    assert ShowMask(Given(((1.0, 1.0),))).needs == ("decoder", "masks")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"click": (1.0, 1.0), "mask": "x.png"}, "not several"),
        ({"keep": -1.0}, "at least 0"),
        ({"floor": 1.0}, "below 0"),
    ],
)
def test_objects_that_mean_nothing_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        Vanish(**settings)


def test_nothing_to_remove_is_an_error():
    with pytest.raises(UsageError, match="no object to remove"):
        Vanish()(scene(DENSE[:0]))


def test_masks_are_read_from_pictures(tmp_path):
    assert np.array_equal(read_mask(mask_file(tmp_path, DENSE[1]), scene()), DENSE[1])
    with pytest.raises(UsageError, match="is black"):
        read_mask(mask_file(tmp_path, DENSE[1] & False), scene())
    small = str(write_png(tmp_path / "small.png", np.full((3, 4, 3), 255, np.uint8)))
    with pytest.raises(UsageError, match=r"size \(3, 4\), the photo \(30, 40\)"):
        read_mask(small, scene())


def test_the_other_mask_holds_none_of_the_points():
    assert np.array_equal(other_mask(scene(), Prompts.of(points=[[9.0, 7.0]])), DENSE[1])
    assert np.array_equal(other_mask(scene(), Prompts.of(points=[[29.0, 23.0]])), DENSE[2])
    lonely = scene(DENSE[:1])
    half = other_mask(lonely, Prompts.of(points=[[9.0, 7.0]]))
    assert half[:, 20:].all()
    assert not half[:, :20].any()
    assert "right half" in lonely.notes[0]


@pytest.mark.parametrize("full", [False, True])
def test_a_given_mask_is_what_is_asked_for(tmp_path, full):
    """The linear segmenter's logits are brightness: inside the wanted mask it rises, outside it falls."""
    square = Image(np.full((30, 30, 3), 140, np.uint8))  # its logits have the photo's shape, without padding
    wanted = torch.from_numpy(DENSE[1][:, 10:])
    goal = ShowMask(Given(((9.0, 7.0),)), mask=mask_file(tmp_path, wanted.numpy()), full=full)
    model, pixels = LinearSegmenter(), to_tensor(square.pixels)[None]
    objective = goal(Scene(model, square, pixels, Budget.parse("8/255"), 0, "test"))
    assert isinstance(objective.goal, AtPhotoSize) == full
    pixels = pixels.requires_grad_()
    loss = objective(Seen(pixels, {}, (), model, model.geometry((30, 30)), count=1))
    (slope,) = torch.autograd.grad(loss.sum(), pixels)
    assert (slope[:, :, wanted] < 0).all()
    assert (slope[:, :, ~wanted] > 0).all()


def test_protocol_paper_asks_at_the_same_places(tiny_sam):
    """The perturbed photo has the model's size there: prompts and targets follow it."""
    masks = Masks.from_dense(DENSE)
    for name in ("vanish", "attack-sam-target", "attack-sam-shift", "cross-prompt-positions", "s-ra"):
        results = [attack(tiny_sam, PHOTO, name, steps=1, clean_masks=masks, protocol=p) for p in ("strict", "paper")]
        assert results[0].loss[0] == pytest.approx(results[1].loss[0], rel=0.02), name
