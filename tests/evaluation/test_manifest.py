"""Manifests: drawn from seed and photo alone, void left out, exact as JSON."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segrobust.errors import UsageError
from segrobust.evaluation.evaluate import PromptSettings, prompts_for
from segrobust.evaluation.manifest import Manifest, draw_manifest, manifest_from_json, manifest_to_json
from segrobust.evaluation.prompts import prompts_from_json
from segrobust.types import Image, Masks, Prompts, encode_mask

stacks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)))


def photo(size: tuple[int, int], value: int = 0) -> Image:
    return Image(np.full((*size, 3), value, np.uint8), "photo")


def same(a: Prompts, b: Prompts) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("points", "point_masks", "boxes", "box_masks"))


@given(stacks, st.data(), st.integers(0, 2**40))
def test_no_prompt_asks_for_void(dense: np.ndarray, data: st.DataObject, seed: int) -> None:
    void = data.draw(hnp.arrays(np.bool_, dense.shape[1:]))
    manifest = draw_manifest(
        Masks.from_dense(dense), photo(void.shape), "annotation", seed=seed, void=encode_mask(void)
    )
    known = dense & ~void
    np.testing.assert_array_equal(manifest.masks.dense(), known)
    for (x, y), mask in zip(manifest.prompts.points.astype(int), manifest.prompts.point_masks, strict=True):
        assert known[mask, y, x]
    assert set(manifest.asked.tolist()) == {i for i, mask in enumerate(known) if mask.any()}


def test_boxes_are_those_of_what_is_left() -> None:
    dense, void = np.ones((1, 40, 40), np.bool_), np.zeros((40, 40), np.bool_)
    void[:, 20:] = True
    boxes = draw_manifest(Masks.from_dense(dense), photo((40, 40)), "annotation", seed=0, void=encode_mask(void))
    assert (boxes.prompts.boxes[:, 2] <= 21).all()


def test_without_void_the_prompts_are_those_of_a_single_attack() -> None:
    masks, image = Masks.from_dense(np.ones((3, 9, 9), np.bool_)), photo((9, 9))
    how = PromptSettings(masks=2, points=3, boxes=1)
    manifest = draw_manifest(masks, image, "clean", seed=5, settings=how)
    assert same(manifest.prompts, prompts_for(masks, image, 5, "clean", how))
    assert (len(manifest.masks), manifest.asked.tolist()) == (2, [0, 0, 0, 1, 1, 1, 0, 1])


def test_seed_photo_and_reference_decide() -> None:
    masks = Masks.from_dense(np.ones((1, 30, 30), np.bool_))

    def points(value: int = 0, reference: str = "annotation", seed: int = 0) -> list[Any]:
        return draw_manifest(masks, photo((30, 30), value), reference, seed=seed).prompts.points.tolist()

    assert points() == points()
    assert all(other != points() for other in (points(1), points(reference="clean"), points(seed=1)))


@given(stacks, st.booleans(), st.integers(0, 99))
def test_json_is_exact(dense: np.ndarray, has_void: bool, seed: int) -> None:
    masks, image = Masks.from_dense(dense), photo(dense.shape[1:])
    manifest = draw_manifest(masks, image, "clean", seed=seed, void=masks.rles[0] if has_void else None)
    document = json.loads(json.dumps(manifest_to_json(manifest, image=image, about={"seed": seed}), allow_nan=False))
    back = manifest_from_json(document, image=image)
    assert same(back.prompts, manifest.prompts)
    assert same(prompts_from_json(document), manifest.prompts)
    assert (back.masks.rles, back.void, back.reference) == (manifest.masks.rles, manifest.void, "clean")
    assert document["about"] == {"seed": seed}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"masks": None}, "not iterable"),
        ({"masks": [{"size": [4, 4], "counts": "1"}]}, "covers? 1|cover 1"),
        ({"masks": []}, "asks for mask 0, there are 0"),
        ({"size": [4, 5]}, r"mask of size \[4, 4\]"),
        ({"size": 4}, "int"),
        ({"void": {"size": [9, 9], "counts": "1"}}, "of size"),
        ({"schema": "segrobust.prompts/0"}, "schema"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(change: dict[str, Any], says: str) -> None:
    manifest = draw_manifest(Masks.from_dense(np.ones((1, 4, 4), np.bool_)), photo((4, 4)), "clean", seed=0)
    with pytest.raises(UsageError, match=rf"^[^\n]*({says})[^\n]*$"):
        manifest_from_json(manifest_to_json(manifest) | change)


@pytest.mark.parametrize("key", ["masks", "void", "size", "reference"])
def test_prompts_alone_are_no_manifest(key: str) -> None:
    manifest = draw_manifest(Masks.from_dense(np.ones((1, 4, 4), np.bool_)), photo((4, 4)), "clean", seed=0)
    document = manifest_to_json(manifest, image=photo((4, 4)))
    del document[key]
    with pytest.raises(UsageError, match=f"{key!r} is missing"):
        manifest_from_json(document)
    with pytest.raises(UsageError, match="another photo"):
        manifest_from_json(document, image=photo((4, 4), 1))


def test_parts_must_fit() -> None:
    masks = Masks.from_dense(np.ones((1, 4, 4), np.bool_))
    with pytest.raises(ValueError, match="asks for mask 1, there are 1"):
        Manifest("clean", Prompts.of(points=[[0, 0]], point_masks=[1]), masks)
    with pytest.raises(ValueError, match="void has size"):
        Manifest("clean", Prompts.of(), masks, encode_mask(np.ones((3, 3), np.bool_)))
