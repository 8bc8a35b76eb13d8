"""What each reader makes of a data set whose masks are known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import (
    SIZE,
    bsds_labels,
    coco_document,
    edit_json,
    make_ade,
    make_bsds,
    make_coco,
    make_davis,
    make_images,
    make_sa1b,
    make_voc,
    object_labels,
    put_labels,
    two_masks,
)
from pycocotools import mask as coco
from pycocotools.coco import COCO

from segrobust.errors import PhotoError
from segrobust.io.datasets import Annotated, Dataset, Sample, open_dataset
from segrobust.io.datasets.labels import present, regions, void_of
from segrobust.types import Masks, decode_mask, encode_mask


def annotated(sample: Sample) -> Annotated:
    found = sample.annotation()
    assert found is not None
    return found


def ids(dataset: Dataset) -> list[str]:
    return [sample.id for sample in dataset]


def test_sa1b(tmp_path: Path) -> None:
    dataset = open_dataset("sa1b", make_sa1b(tmp_path))
    assert ids(dataset) == ["sa_1", "sa_2", "sa_10"]  # by number, not by letter
    for sample in dataset:
        found = annotated(sample)
        np.testing.assert_array_equal(found.masks.dense(), two_masks())
        assert found.void is None
        assert sample.image().size == SIZE
        assert sample.image().name == sample.id
        assert sample.path == str(tmp_path / f"{sample.id}.jpg")


def test_sa1b_in_folders_as_its_archives_unpack(tmp_path: Path) -> None:
    make_sa1b(tmp_path / "sa_000000", (1, 12))
    make_sa1b(tmp_path / "sa_000001", (3,))
    dataset = open_dataset("auto", tmp_path)
    assert (dataset.kind, ids(dataset), dataset.problems) == ("sa1b", ["sa_1", "sa_3", "sa_12"], ())


def test_a_folder_with_pairs_is_not_searched_further(tmp_path: Path) -> None:
    make_sa1b(tmp_path, (1,))
    make_images(tmp_path / "results")
    assert ids(open_dataset("sa1b", tmp_path)) == ["sa_1"]


def test_coco_agrees_with_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = open_dataset("coco", make_coco(tmp_path))
    oracle = COCO(str(tmp_path / "annotations/instances_val2017.json"))
    capsys.readouterr()
    assert ids(dataset) == ["000000000001", "000000000002", "000000000003"]
    for number, sample in enumerate(dataset, 1):
        found = annotated(sample)
        theirs = [oracle.annToMask(a) for a in oracle.loadAnns(oracle.getAnnIds(number, iscrowd=False))]
        assert len(found.masks) == len(theirs) == [2, 1, 0][number - 1]
        for ours, their in zip(found.masks, theirs, strict=True):
            np.testing.assert_array_equal(ours, their.astype(bool))
    crowd = oracle.annToMask(oracle.loadAnns(oracle.getAnnIds(1, iscrowd=True))[0]).astype(bool)
    objects = annotated(dataset.samples[0]).masks.dense().any(axis=0)
    assert (crowd & objects).any()
    void = annotated(dataset.samples[0]).void
    assert void is not None
    np.testing.assert_array_equal(decode_mask(void), crowd & ~objects)  # objects are scored, also inside a crowd
    assert annotated(dataset.samples[1]).void is None


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 16, width=32), st.floats(0, 12, width=32)), min_size=3, max_size=7))
def test_any_polygon_is_drawn_as_pycocotools_draws_it(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[float, float]]
) -> None:
    polygon = [value for point in points for value in point]
    document = coco_document()
    document["annotations"] = [{"id": 1, "image_id": 1, "segmentation": [polygon], "iscrowd": 0}]
    root = make_coco(tmp_path_factory.mktemp("coco"))
    edit_json(root / "annotations/instances_val2017.json", lambda _: document)
    ours = annotated(open_dataset("coco", root).samples[0]).masks.mask(0)
    theirs = coco.decode(coco.frPyObjects([polygon], *SIZE))[:, :, 0].astype(bool)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("folder", ["images", "images/val2017", "."])
def test_coco_photos_lie_where_people_put_them(tmp_path: Path, folder: str) -> None:
    make_coco(tmp_path)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for photo in (tmp_path / "val2017").iterdir():
        photo.rename(tmp_path / folder / photo.name)
    (tmp_path / "val2017").rmdir()
    assert [sample.image().size for sample in open_dataset("coco", tmp_path)] == [SIZE] * 3


def test_coco_splits(tmp_path: Path) -> None:
    make_coco(tmp_path, "train2017")
    make_coco(tmp_path, "val2017")
    dataset = open_dataset("coco", tmp_path, split="train2017")
    assert dataset.name == "coco-train2017"
    assert "train2017/" in dataset.samples[0].path


def test_voc_keeps_void_apart(tmp_path: Path) -> None:
    dataset = open_dataset("voc", make_voc(tmp_path))
    assert ids(dataset) == ["000032", "000033"]
    found = annotated(dataset.samples[0])
    np.testing.assert_array_equal(found.masks.dense(), two_masks())
    assert found.void is not None
    np.testing.assert_array_equal(decode_mask(found.void), object_labels() == 255)


def test_voc_splits_and_its_inner_folder(tmp_path: Path) -> None:
    make_voc(tmp_path)
    home = tmp_path / "VOCdevkit/VOC2007"
    assert ids(open_dataset("voc", home, split="val")) == ["000033"]
    (home / "JPEGImages/000099.jpg").touch()  # most photos of VOC have no objects drawn
    assert len(open_dataset("voc", home)) == 2
    for file in (home / "ImageSets/Segmentation").iterdir():
        file.unlink()
    assert ids(open_dataset("voc", home)) == ["000032", "000033"]


def test_bsds_takes_the_first_person(tmp_path: Path) -> None:
    dataset = open_dataset("bsds500", make_bsds(tmp_path))
    assert ids(dataset) == ["2018", "2092", "100007"]
    found = annotated(dataset.samples[0])
    np.testing.assert_array_equal(found.masks.dense(), [bsds_labels() == label for label in (1, 2, 3)])
    assert found.masks.areas.sum() == SIZE[0] * SIZE[1]
    assert ids(open_dataset("bsds500", tmp_path, split="train")) == ["2092"]


def test_davis_2016_has_one_object(tmp_path: Path) -> None:
    dataset = open_dataset("davis", make_davis(tmp_path))
    assert ids(dataset) == ["bear-00000", "bear-00001", "camel-00000", "camel-00001"]
    found = annotated(dataset.samples[0])
    np.testing.assert_array_equal(found.masks.dense(), two_masks()[:1])
    assert found.void is None  # a grey 255 is the object
    assert ids(open_dataset("davis", tmp_path, split="val")) == ["camel-00000", "camel-00001"]


def test_davis_2017_has_several(tmp_path: Path) -> None:
    dataset = open_dataset("davis", make_davis(tmp_path, year=2017), split="val")
    assert ids(dataset) == ["camel-00000", "camel-00001"]
    assert dataset.name == "davis-val"
    found = annotated(dataset.samples[0])
    np.testing.assert_array_equal(found.masks.dense(), two_masks())
    assert found.void is not None
    assert int(coco.area({**found.void, "counts": found.void["counts"].encode()})) == 4
    assert ids(open_dataset("davis", tmp_path, split="2017/val")) == ids(dataset)


def test_davis_at_full_resolution(tmp_path: Path) -> None:
    make_davis(tmp_path)
    for top in ("JPEGImages", "Annotations"):
        (tmp_path / top / "480p").rename(tmp_path / top / "Full-Resolution")
    assert "Full-Resolution" in open_dataset("davis", tmp_path).samples[0].path


def test_ade_takes_what_is_visible_of_whole_objects(tmp_path: Path) -> None:
    dataset = open_dataset("ade20k", make_ade(tmp_path))
    found = annotated(dataset.samples[0])
    expected = two_masks()
    expected[1, 6] = False  # hidden
    np.testing.assert_array_equal(found.masks.dense(), expected)
    assert len(open_dataset("ade20k", tmp_path, split="training")) == 1
    assert open_dataset("auto", tmp_path / "images/ADE/training/urban/street").kind == "ade20k"


def test_plain_photos_have_no_annotation(tmp_path: Path) -> None:
    dataset = open_dataset("images", make_images(tmp_path / "holiday photos"))
    assert ids(dataset) == ["photo1", "photo2", "photo10"]
    assert dataset.name == "holiday_photos"
    assert dataset.samples[0].annotation() is None


def test_a_photo_that_lies_on_its_side_is_upright_for_its_masks(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    make_sa1b(tmp_path, (1,))
    with Pillow.open(tmp_path / "sa_1.jpg") as photo:
        turned = photo.transpose(Pillow.Transpose.ROTATE_90)
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to be looked at
    turned.save(tmp_path / "sa_1.jpg", exif=exif)
    sample = open_dataset("sa1b", tmp_path).samples[0]
    assert sample.image().size == annotated(sample).masks.size == SIZE


def test_the_void_must_fit_the_masks() -> None:
    masks = Masks.from_dense(two_masks())
    with pytest.raises(ValueError, match=r"the void has size \[3, 4\], the masks \[12, 16\]"):
        Annotated(masks, encode_mask(np.ones((3, 4), np.bool_)))


@given(st.integers(0, 2**32 - 1))
def test_labels_become_masks_and_void_that_share_no_pixel(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.choice([0, 1, 2, 7, 255], (5, 6)).astype(np.uint8)
    masks = regions(labels, present(labels, (0, 255)))
    void = void_of(labels)
    claimed = masks.dense().sum(axis=0) + (0 if void is None else decode_mask(void))
    np.testing.assert_array_equal(claimed, labels != 0)


def test_labels_are_stored_values_whatever_the_palette_shows(tmp_path: Path) -> None:
    from segrobust.io.datasets.labels import read_labels
    from segrobust.io.datasets.source import File

    labels, palette = read_labels(File(put_labels(tmp_path / "a.png", object_labels())))
    assert palette
    np.testing.assert_array_equal(labels, object_labels())


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    make_sa1b(tmp_path, (1, 2))
    (tmp_path / "sa_2.jpg").write_bytes(b"")
    (tmp_path / "sa_2.json").write_text("{")
    dataset = open_dataset("sa1b", tmp_path)
    assert len(annotated(dataset.samples[0]).masks) == 2
    for read in (dataset.samples[1].image, dataset.samples[1].annotation):
        with pytest.raises(PhotoError, match="sa_2"):
            read()
