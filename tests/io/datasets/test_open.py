"""Data sets as wholes: recognised, ordered, named, divided, hashed; in archives as in folders."""

import os
import pickle
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import MAKERS, SIZE, make_images, make_sa1b, make_tar, make_voc, put_photo, two_masks

from segrobust.errors import PhotoError, UsageError
from segrobust.io.datasets import KINDS, Dataset, Sample, check, open_dataset
from segrobust.io.datasets.base import natural
from segrobust.io.datasets.source import File, members


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_tar(make_sa1b(tmp_path / "folder"), tmp_path / "sa_000000.tar")


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_is_recognised_and_nothing_is_wrong_with_it(tmp_path: Path, kind: str) -> None:
    root = MAKERS[kind](tmp_path / "data")
    dataset = open_dataset("auto", root)
    assert dataset.kind == kind
    assert list(check(dataset)) == []
    assert dataset.terms == KINDS[kind].terms
    assert [sample.id for sample in dataset] == [sample.id for sample in open_dataset(kind, root)]


def test_there_is_a_maker_for_every_kind() -> None:
    assert set(MAKERS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_data_set_of_a_kind_is_told_what_was_looked_for(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_dataset(kind, tmp_path)
    assert str(caught.value) == f"{tmp_path}: no {kind} data set; looked for {KINDS[kind].layout}"


def test_what_is_no_data_set_at_all(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="looks like no data set") as caught:
        open_dataset("auto", tmp_path)
    assert all(f"{kind}: {about.layout}" in str(caught.value) for kind, about in KINDS.items())
    with pytest.raises(UsageError, match="looks like no data set"):
        open_dataset("auto", tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="gone: no such folder"):
        open_dataset("auto", tmp_path / "gone")
    with pytest.raises(UsageError, match="unknown kind of data set 'cocoa'; choose voc, "):
        open_dataset("cocoa", tmp_path)


def test_archives_are_read_where_they_are(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("extract", "extractall", "extractfile"):
        monkeypatch.delattr(tarfile.TarFile, name)
    before = sorted(archive.parent.rglob("*"))
    dataset = open_dataset("auto", archive)
    folder = open_dataset("sa1b", archive.parent / "folder")
    assert [sample.id for sample in dataset] == [sample.id for sample in folder] == ["sa_1", "sa_2", "sa_10"]
    for inside, outside in zip(dataset, folder, strict=True):
        np.testing.assert_array_equal(inside.image().pixels, outside.image().pixels)
        found = inside.annotation()
        assert found is not None
        np.testing.assert_array_equal(found.masks.dense(), two_masks())
    assert dataset.samples[0].path == f"{archive}:sa_1.jpg"
    assert list(check(dataset)) == []
    assert dataset.sha256() == folder.sha256()
    assert sorted(archive.parent.rglob("*")) == before


def test_only_headers_are_read_on_opening(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(File, "read", lambda self: pytest.fail(f"{self} was read"))
    assert len(open_dataset("sa1b", archive)) == 3


def test_several_archives_are_one_data_set(tmp_path: Path) -> None:
    make_tar(make_sa1b(tmp_path / "a", (1, 30)), tmp_path / "all/sa_000001.tar", prefix="")
    make_tar(make_sa1b(tmp_path / "b", (2,)), tmp_path / "all/sa_000000.tar")
    dataset = open_dataset("auto", tmp_path / "all")
    assert [sample.id for sample in dataset] == ["sa_1", "sa_2", "sa_30"]
    assert dataset.sha256() == open_dataset("sa1b", make_sa1b(tmp_path / "c", (1, 2, 30))).sha256()


def test_members_are_where_tarfile_says(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    contents = {f"{'long/' * 30}{n}.bin": generator.bytes(int(generator.integers(0, 3000))) for n in range(20)}
    with tarfile.open(tmp_path / "a.tar", "w") as tar:  # names over 100 characters take headers of their own
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))
    problems: list[str] = []
    found = list(members(tmp_path / "a.tar", problems))
    assert problems == []
    assert [file.member for file in found] == list(contents)
    assert all(file.read() == contents[file.member] for file in found if file.size)


def test_a_data_set_can_be_sent_to_another_process(tmp_path: Path) -> None:
    for kind, make in MAKERS.items():
        dataset = open_dataset(kind, make(tmp_path / kind))
        again = pickle.loads(pickle.dumps(dataset))
        assert again.sha256() == dataset.sha256()
        assert again.samples[0].image().size == SIZE


def test_ids_are_unique_and_do_not_depend_on_the_part(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "A.bmp", "con.png", "b c.png"):
        put_photo(tmp_path / name)
    dataset = open_dataset("images", tmp_path)
    ids = [sample.id for sample in dataset]
    assert len({name.casefold() for name in ids}) == 5
    assert {"_con", "b_c"} <= set(ids)
    assert all("/" not in name and not name.startswith(".") for name in ids)
    for index, sample in enumerate(dataset):
        assert [s.id for s in open_dataset("images", tmp_path, shard=(index + 1, 5))] == [sample.id]


def test_ids_of_equal_names_in_several_places_do_not_depend_on_where_the_data_set_lies(tmp_path: Path) -> None:
    for home in ("here", "there"):
        make_sa1b(tmp_path / home / "x", (1,))
        make_sa1b(tmp_path / home / "y", (1,))
    here, there = (open_dataset("sa1b", tmp_path / home) for home in ("here", "there"))
    assert [s.id for s in here] == [s.id for s in there]
    assert len({s.id for s in here}) == 2
    assert here.sha256() == there.sha256()


@given(st.lists(st.text("sa_0123456789x", min_size=1, max_size=8), unique=True))
def test_numbers_in_names_are_compared_as_numbers(names: list[str]) -> None:
    ordered = sorted(names, key=natural)
    plain = [name for name in ordered if name.isdigit()]
    assert [int(name) for name in plain] == sorted(int(name) for name in plain)


def bare(count: int) -> Dataset:
    samples = tuple(Sample(f"s{n}", f"s{n}.png", File(Path(f"s{n}.png"))) for n in range(count))
    return Dataset("bare", "images", Path(), samples, "none")


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(1, 12))
def test_shards_divide_a_data_set_evenly(total: int, count: int) -> None:
    dataset = bare(total)
    shards = [dataset.shard(index, count) for index in range(1, count + 1)]
    assert sorted(s.id for shard in shards for s in shard) == sorted(s.id for s in dataset)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_a_limit_comes_before_a_shard_and_takes_the_first(tmp_path: Path) -> None:
    root = make_images(tmp_path)
    assert [s.id for s in open_dataset("images", root, limit=2)] == ["photo1", "photo2"]
    assert [s.id for s in open_dataset("images", root, limit="34%")] == ["photo1", "photo2"]
    assert [s.id for s in open_dataset("images", root, limit="2", shard="2/2")] == ["photo2"]
    assert [s.id for s in open_dataset("images", root, limit=99)] == ["photo1", "photo2", "photo10"]


@pytest.mark.parametrize("kind", MAKERS)
def test_the_hash_is_that_of_what_is_used(tmp_path: Path, kind: str) -> None:
    root = MAKERS[kind](tmp_path / "data")
    dataset = open_dataset(kind, root)
    before = dataset.sha256()
    assert before == open_dataset(kind, root).sha256()
    if len(dataset) > 1:
        assert dataset.limit(1).sha256() != before
    (root / "README.txt").write_text("not a part of it")
    assert open_dataset(kind, root).sha256() == before
    photo = dataset.samples[0].photo.path
    photo.write_bytes(photo.read_bytes() + b"\0")
    assert open_dataset(kind, root).sha256() != before


@pytest.mark.parametrize("kind", ["sa1b", "voc", "davis", "bsds500", "ade20k", "coco"])
def test_the_hash_knows_the_annotation(tmp_path: Path, kind: str) -> None:
    root = MAKERS[kind](tmp_path / "data")
    before = open_dataset(kind, root).sha256()
    sample = open_dataset(kind, root).samples[0]
    file = sample.marks[-1].path if sample.marks else root / "annotations/instances_val2017.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"2.5", b"3.5") if kind == "coco" else content + b" ")
    assert open_dataset(kind, root).sha256() != before


def test_a_missing_photo_is_a_sample_that_fails(tmp_path: Path) -> None:
    root = make_voc(tmp_path)
    (root / "VOCdevkit/VOC2007/JPEGImages/000033.jpg").unlink()
    dataset = open_dataset("voc", root)
    assert len(dataset) == 2
    with pytest.raises(PhotoError, match=r"000033\.jpg: no such file"):
        dataset.samples[1].image()
    assert len(dataset.sha256()) == 64


def test_years_are_not_mixed(tmp_path: Path) -> None:
    make_voc(tmp_path)
    (tmp_path / "VOCdevkit/VOC2012/JPEGImages").mkdir(parents=True)
    (tmp_path / "VOCdevkit/VOC2012/SegmentationObject").mkdir()
    with pytest.raises(UsageError, match=r"several voc data sets; name one: .*VOC2007, .*VOC2012$"):
        open_dataset("auto", tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    root = MAKERS["bsds500"](tmp_path / "data")
    (root / "images").chmod(0o100)
    try:
        with pytest.raises(PhotoError, match="images: cannot be listed"):
            open_dataset("bsds500", root)
    finally:
        (root / "images").chmod(0o700)
