from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrobust.errors import MissingError, UsageError
from segrobust.io.images import find_photos, output_names, read_image, write_png


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_png_is_exact(tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int) -> None:
    path = tmp_path_factory.mktemp("png") / "new folder" / "adv.PNG"
    pixels = noise(height, width, seed)
    assert write_png(path, pixels) == path
    assert np.array_equal(read_image(path).pixels, pixels)


def test_png_takes_grey_and_strided_pixels(tmp_path: Path) -> None:
    pixels = noise(6, 8)[::2, ::-1]
    assert np.array_equal(read_image(write_png(tmp_path / "a.png", pixels)).pixels, pixels)
    grey = read_image(write_png(tmp_path / "g.png", pixels[..., 0])).pixels
    assert np.array_equal(grey[..., 2], pixels[..., 0])


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp", "a.gif", "a.JPG", "a", "a.png.jpg"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.png"):
        write_png(tmp_path / name, noise(2, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2, 3)), np.zeros((2, 2, 4), np.uint8), np.zeros((3, 2, 2), np.uint8), np.zeros((0, 2, 3), np.uint8)],
)
def test_other_pixels_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels must"):
        write_png(tmp_path / "a.png", pixels)


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="folder"):
        write_png(tmp_path / "file" / "a.png", noise(2, 2))


def test_find_photos(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deeper.jpg").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "c.txt", ".hidden.jpg", "deeper.jpg/d.jpg", "e.webp"):
        (folder / name).write_bytes(b"x")
    (folder / "f.gif").symlink_to(folder / "gone.gif")
    alone, missing = tmp_path / "alone.bin", tmp_path / "missing.jpg"
    alone.write_bytes(b"x")
    inside = [folder / name for name in ("a.png", "b.JPG", "e.webp", "f.gif")]
    assert find_photos([folder]) == inside
    assert find_photos([alone, missing, folder]) == [alone, missing, *inside]
    again = folder / "deeper.jpg" / ".." / "e.webp"
    assert find_photos([again, folder, folder / "a.png", str(folder)]) == [again, *inside[:2], inside[3]]


def test_a_folder_without_photos(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for paths in ([tmp_path], []):
        with pytest.raises(UsageError, match="photos"):
            find_photos(paths)


def test_output_names_keep_what_is_unique() -> None:
    paths = [Path("x/dog.jpg"), Path("x/my cat (2).png"), Path("Grüße.jpg"), Path("x/..b.png"), Path("con.jpg")]
    assert list(output_names(paths).values()) == ["dog", "my_cat_2_", "Grüße", "b", "_con"]


def test_output_names_of_one_stem_do_not_depend_on_order() -> None:
    paths = [Path("a/dog.jpg"), Path("b/dog.jpg"), Path("a/Dog.png"), Path("a/cat.jpg")]
    names = output_names(paths)
    assert names == output_names(paths[::-1])
    assert names[Path("a/cat.jpg")] == "cat"
    assert all(names[path].lower().startswith("dog-") for path in paths[:3])
    assert output_names([Path("a/dog.jpg"), Path("a/dog.jpg")]) == {Path("a/dog.jpg"): "dog"}
    intruder = Path(f"c/{names[paths[0]]}.jpg")
    assert len({name.casefold() for name in output_names([*paths, intruder]).values()}) == 5


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1, max_size=8))
def test_output_names_are_safe_and_distinct(texts: list[str]) -> None:
    paths = [Path(text) for text in texts]
    names = output_names(paths)
    assert set(names) == set(paths)
    assert len({name.casefold() for name in names.values()}) == len(names)
    for name in names.values():
        assert name
        assert name[0] not in ".-"
        assert len(name.encode()) <= 190
        assert not set(name) & set('/\\:*?"<>| \n')
