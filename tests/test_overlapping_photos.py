"""benchmarks/write_overlapping_photos.py: photos are chosen by one number, and stay the data set they were."""

import csv
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from made_datasets import MAKERS, make_images, make_sa1b, make_tar, put_photo
from rectangles import boxes

from segrobust.errors import UsageError
from segrobust.io.datasets import open_dataset
from segrobust.io.sa1b import write_sa1b


@pytest.fixture
def chooser(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.write_overlapping_photos")


def test_overlap_is_the_share_in_more_than_one_mask(chooser: ModuleType) -> None:
    assert chooser.overlap(boxes((10, 10), (0, 0, 6, 10), (4, 0, 10, 10))) == pytest.approx(0.2)
    assert chooser.overlap(boxes((10, 10), (0, 0, 5, 5), (0, 0, 5, 5), (0, 0, 10, 1))) == pytest.approx(0.25)
    assert chooser.overlap(boxes((10, 10), (0, 0, 5, 10), (5, 0, 10, 10))) == 0
    assert chooser.overlap(boxes((10, 10))) == 0


@pytest.mark.parametrize("kind", MAKERS)
def test_a_part_of_a_data_set_reads_as_the_same_photos(chooser: ModuleType, kind: str, tmp_path: Path) -> None:
    data = open_dataset(kind, MAKERS[kind](tmp_path / "data"))
    some = replace(data, samples=data.samples[:1])
    chooser.write(some, tmp_path / "part")
    part = open_dataset("auto", tmp_path / "part")
    assert (part.kind, part.terms, len(part)) == (kind, data.terms, 1)
    here, there = some.samples[0].annotation(), part.samples[0].annotation()
    assert (here and here.masks.rles) == (there and there.masks.rles)
    assert np.array_equal(some.samples[0].image().pixels, part.samples[0].image().pixels)


def test_an_archive_is_unpacked(chooser: ModuleType, tmp_path: Path) -> None:
    data = open_dataset("sa1b", make_tar(make_sa1b(tmp_path / "data"), tmp_path / "a.tar"))
    chooser.write(replace(data, samples=data.samples[1:2]), tmp_path / "part")
    assert [sample.id for sample in open_dataset("auto", tmp_path / "part")] == ["sa_2"]


def test_a_folder_with_other_photos_is_refused(chooser: ModuleType, tmp_path: Path) -> None:
    put_photo(tmp_path / "part" / "other.png")
    with pytest.raises(UsageError, match="something else in it"):
        chooser.write(open_dataset("images", make_images(tmp_path / "data")), tmp_path / "part")


def test_the_most_overlapping_are_chosen_and_all_are_listed(
    chooser: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, shared in enumerate((2, 5, 0, 4)):
        photo = put_photo(tmp_path / "data" / f"sa_{number}.jpg", number, (10, 10))
        masks = boxes((10, 10), (0, 0, 5, 10), (5 - shared, 0, 10, 10))
        write_sa1b(photo.with_suffix(".json"), masks, photo.name, number)
    words = [str(tmp_path / "data"), "--masks", "annotation", "--count", "2", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["write_overlapping_photos", *words])
    chooser.main()
    assert [sample.id for sample in open_dataset("auto", tmp_path / "out")] == ["sa_1", "sa_3"]
    with (tmp_path / "out" / "overlap.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["sa_1", "0.5000", "True"], ["sa_3", "0.4000", "True"], ["sa_0", "0.2000", "False"], ["sa_2", "0.0000", "False"]
    ]  # fmt: skip


def test_photos_without_annotation_need_a_model(chooser: ModuleType, tmp_path: Path) -> None:
    data = open_dataset("images", make_images(tmp_path / "data"))
    with pytest.raises(UsageError, match="--masks nano"):
        chooser.ranked(data, chooser.mask_finder("annotation"))
