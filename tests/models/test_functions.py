"""models/functions.py and models/black_box.py: any Python function is a target, and what it answers is checked."""

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import MIB, check_black_box_geometry, check_flat_memory, check_no_state, make_photo

import segrobust
from segrobust.errors import AnswerError, CapabilityError, ModelError, UsageError
from segrobust.evaluation.evaluate import PromptSettings, clean_side, evaluate
from segrobust.models import load
from segrobust.models.base import EverythingFirst, EverythingSettings, Segmenter, require_white_box
from segrobust.types import Bools, Image, Masks, Pixels, Prompts

SIZE = (40, 60)
PHOTO = make_photo(SIZE)
TWO = Prompts.of([(3, 4)], [(5, 6, 20, 30)])


def bright(image: Pixels, prompts: Prompts) -> Bools:
    """To every prompt the part of the photo that is brighter than grey."""
    return np.repeat((image.mean(axis=2) > 127)[None], len(prompts), axis=0)


def bright_things(image: Pixels) -> Iterator[Bools]:
    """Everything: the bright part and the dark part."""
    yield image.mean(axis=2) > 127
    yield image.mean(axis=2) <= 127


def answering(answer: Any) -> Segmenter:
    return segrobust.wrap(lambda image, prompts: answer, name="mine")


def test_geometry_state_and_memory() -> None:
    segmenter = segrobust.wrap(bright)
    check_black_box_geometry(segmenter, pixels=4000, examples=6)
    check_no_state(segmenter)
    check_flat_memory(segmenter, photos=150, allowed=16 * MIB)


def test_what_a_function_is_called_and_given() -> None:
    seen: list[Any] = []

    def mine(image: Pixels, prompts: Prompts) -> None:
        seen.append((image.copy(), prompts))
        image[:] = 0  # its copy, not the photo

    before = PHOTO.pixels.copy()
    answers = segrobust.wrap(mine).answer(PHOTO, TWO)
    np.testing.assert_array_equal(seen[0][0], before)
    np.testing.assert_array_equal(PHOTO.pixels, before)
    assert seen[0][1] is TWO
    assert answers.areas.tolist() == [0, 0]  # None: nothing found
    assert segrobust.wrap(mine).name.endswith("test_functions:test_what_a_function_is_called_and_given.<locals>.mine")
    assert len(segrobust.wrap(mine).answer(PHOTO, Prompts.of())) == 0
    assert len(seen) == 1  # nothing was asked, so nobody was called


def test_the_forms_of_an_answer() -> None:
    dense = np.zeros((2, *SIZE), np.bool_)
    dense[0, :10], dense[1, :, :7] = True, True
    scored = Masks.from_dense(dense, predicted_iou=[0.3, 0.8])
    for answer in (dense, list(dense), scored):
        assert answering(answer).answer(PHOTO, TWO).areas.tolist() == [600, 280]
    assert answering(scored).answer(PHOTO, TWO, "best").predicted_iou.tolist() == [0.3, 0.8]
    assert np.isnan(answering(dense).answer(PHOTO, TWO).predicted_iou).all()
    assert answering([dense[0], None]).answer(PHOTO, TWO).areas.tolist() == [600, 0]
    assert answering(iter([None, dense[1]])).answer(PHOTO, TWO).areas.tolist() == [0, 280]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (np.zeros((2, *SIZE)), r"a mask of float64; masks are bool, so compare first: masks > 0"),
        (np.zeros((2, *SIZE), np.uint8), "a mask of uint8"),
        (np.zeros((1, *SIZE), np.bool_), "1 masks to 2 prompts; one for each is needed"),
        (np.zeros((3, *SIZE), np.bool_), "more than 2 masks to 2 prompts"),
        (np.zeros((2, *SIZE[::-1]), np.bool_), r"a mask of shape \(60, 40\) on a photo of size \(40, 60\)"),
        (np.zeros(SIZE, np.bool_), r"an array of shape \(40, 60\); masks are \(n, H, W\)"),
        (Masks.from_dense(np.zeros((2, 4, 4), np.bool_)), r"masks of size \(4, 4\) on a photo of size \(40, 60\)"),
        (Masks.from_dense(np.zeros((1, *SIZE), np.bool_)), "1 masks to 2 prompts"),
        ({"masks": []}, "answered dict; masks are a bool array"),
        (7, "answered int"),
    ],
)
def test_what_is_no_answer_is_told_on_one_line(answer: Any, says: str) -> None:
    with pytest.raises(AnswerError, match=says) as caught:
        answering(answer).answer(PHOTO, TWO)
    assert str(caught.value).startswith("function 'mine' answered")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_an_exception_inside_is_the_photos_failure_with_the_functions_name() -> None:
    def mine(image: Pixels, prompts: Prompts) -> None:
        raise RuntimeError("the camera\nis out of film")

    with pytest.raises(AnswerError, match=r"^function 'mine' failed: RuntimeError: the camera is out of film$"):
        segrobust.wrap(mine, name="mine").answer(PHOTO, TWO)

    def generating(image: Pixels, prompts: Prompts) -> Iterator[None]:
        yield None
        raise KeyError("late")

    with pytest.raises(AnswerError, match="failed: KeyError: 'late'"):
        segrobust.wrap(generating).answer(PHOTO, TWO)


def test_capabilities_come_from_arguments_or_attributes() -> None:
    assert segrobust.wrap(bright).capabilities.names() == ("points", "boxes", "everything")
    only_boxes = segrobust.wrap(bright, points=False)
    assert only_boxes.capabilities.names() == ("boxes",)
    with pytest.raises(CapabilityError, match="takes no points, got 1; it can do: boxes"):
        only_boxes.answer(PHOTO, TWO)
    with pytest.raises(CapabilityError, match="takes no point prompts"):
        segrobust.segment_everything(only_boxes, PHOTO)

    def declared(image: Pixels, prompts: Prompts) -> None: ...

    declared.boxes = False  # type: ignore[attr-defined]
    assert segrobust.wrap(declared).capabilities.names() == ("points", "everything")
    assert segrobust.wrap(declared, boxes=True).capabilities.boxes
    declared.boxes = "no"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="boxes of function 'x' must be True or False, got 'no'"):
        segrobust.wrap(declared, name="x")
    with pytest.raises(UsageError, match=r"must be a function \(image\) -> masks or True, got 7"):
        segrobust.wrap(bright, everything=7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"wrap takes a function .* got int"):
        segrobust.wrap(7)  # type: ignore[arg-type]


def test_a_second_function_finds_everything() -> None:
    segmenter = segrobust.wrap(bright, everything=bright_things)
    assert isinstance(segmenter, EverythingFirst)
    found = segrobust.segment_everything(segmenter, PHOTO)
    assert len(found) == 2
    assert found.areas.sum() == SIZE[0] * SIZE[1]


def test_prompts_choose_among_the_masks_of_a_function_that_takes_none() -> None:
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[10:20, 30:50] = 255
    segmenter = segrobust.wrap(bright_things, everything=True)
    answers = segmenter.answer(Image(pixels), Prompts.of([(35, 15), (0, 0)], [(31, 10, 52, 20)]))
    assert answers.areas.tolist() == [200, 2200, 200]
    segmenter = segrobust.wrap(lambda image: [None], everything=True)
    assert segmenter.answer(Image(pixels), TWO).areas.tolist() == [0, 0]
    assert len(segrobust.segment_everything(segmenter, Image(pixels))) == 0


def test_nano_in_a_function_has_the_scores_of_nano_itself(root: Path) -> None:
    nano = load("nano", device="cpu")

    def asked(image: Pixels, prompts: Prompts) -> Masks:
        return nano.answer(Image(image), prompts)

    def everything(image: Pixels) -> Masks:
        return segrobust.segment_everything(nano, Image(image), coarse)

    coarse = EverythingSettings(points_per_side=4, predicted_iou_threshold=0, stability_threshold=0)
    black = segrobust.wrap(asked, everything=everything)
    photo = segrobust.read_image(root / "examples" / "coffee.png")
    photo = Image(np.ascontiguousarray(photo.pixels[::4, ::4]))
    noisy = Image(np.clip(photo.pixels.astype(int) + 9, 0, 255).astype(np.uint8))
    few = PromptSettings(masks=2, points=2, boxes=1)
    scores = [
        evaluate(model, clean_side(model, photo, prompts=few, everything=coarse), noisy, everything=coarse)[0]
        for model in (nano, black)
    ]
    assert scores[0].references["clean"]["all"].n == 6
    assert scores[0] == scores[1]


def test_no_gradient_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CapabilityError, match=r"gives no gradients.*attack a surrogate such as 'nano'") as caught:
        require_white_box(segrobust.wrap(bright))
    assert caught.value.exit_code == 2
    with pytest.raises(CapabilityError, match="gives no gradients"):
        segrobust.attack(segrobust.wrap(bright), PHOTO)


def test_a_generator_needs_the_memory_of_one_mask() -> None:
    size, count = (1000, 1500), 40

    def one_by_one(image: Pixels, prompts: Prompts) -> Iterator[Bools]:
        return (np.zeros(size, np.bool_) for _ in range(len(prompts)))

    photo = Image(np.zeros((*size, 3), np.uint8))
    segmenter = segrobust.wrap(one_by_one)
    tracemalloc.start()
    try:
        segmenter.answer(photo, Prompts.of([(1, 1)] * count))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < photo.pixels.nbytes + 10 * size[0] * size[1]


# --- by name ------------------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Writes a module into the current folder, which is not on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part not in ("", str(tmp_path))])
    yield lambda name, code: (tmp_path / f"{name}.py").write_text(code) and None
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def test_a_function_of_the_current_folder_by_name(write: Callable[[str, str], None]) -> None:
    write("a_neighbour", "AREA = 5")
    write(
        "my_segmenter",
        "import numpy as np\n"
        "def segment(image, prompts):\n"
        "    from a_neighbour import AREA\n"
        "    masks = np.zeros((len(prompts), *image.shape[:2]), bool)\n"
        "    masks[:, 0, :AREA] = True\n"
        "    return masks\n"
        "segment.boxes = False\n",
    )
    segmenter = load("my_segmenter:segment", device="cpu")
    assert segmenter.name == "my_segmenter:segment"
    assert segmenter.capabilities.names() == ("points", "everything")
    assert segmenter.answer(PHOTO, Prompts.of([(1, 1)])).areas.tolist() == [5]


def test_a_module_may_hold_a_wrapped_segmenter(write: Callable[[str, str], None]) -> None:
    write("ready", "import segrobust\nmine = segrobust.wrap(lambda image, prompts: None, name='blind', boxes=False)\n")
    segmenter = load("ready:mine", device="cpu")
    assert segmenter.name == "blind"
    assert not segmenter.capabilities.boxes


@pytest.mark.parametrize(
    ("module", "code", "name", "says"),
    [
        ("", "", "nowhere_at_all:f", r"cannot be imported: no module 'nowhere_at_all' in .* or on Python's path"),
        ("broken1", "def segment(:", "broken1:segment", r"cannot be imported: SyntaxError"),
        ("broken2", "import nowhere_at_all", "broken2:f", "cannot be imported: ModuleNotFoundError: No module named"),
        ("broken3", "import sys; sys.exit('bye')", "broken3:f", "cannot be imported: SystemExit: bye"),
        (
            "whole",
            "def segment(i, p): ...",
            "whole:segmnt",
            r"no function 'segmnt' in .*whole.py; did you mean 'segment'",
        ),
        ("whole2", "x = 3", "whole2:x", "is no function but a int"),
        ("", "", "math:nope", "no function 'nope' in"),
    ],
)
def test_a_name_that_leads_nowhere(
    write: Callable[[str, str], None], module: str, code: str, name: str, says: str
) -> None:
    if module:
        write(module, code)
    with pytest.raises(ModelError, match=says) as caught:
        load(name, device="cpu")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="is a black box and takes no compile, dtype; leave it out"):
        load("math:sqrt", device="cpu", dtype="float16", compile=True)
