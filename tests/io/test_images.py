import logging
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from segrobust.errors import PhotoError
from segrobust.io.images import read_image


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    PIL.Image.fromarray(array).save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    pixels = noise(7, 5)
    image = read_image(save(tmp_path / f"photo.{suffix}", pixels))
    assert np.array_equal(image.pixels, pixels)
    assert (image.name, image.path) == ("photo", tmp_path / f"photo.{suffix}")


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    read = read_image(save(tmp_path / f"photo.{suffix}", flat, quality=100)).pixels
    assert np.abs(read.astype(int) - flat).max() <= 3


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "grey.png"
    PIL.Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert(mode).save(path)
    assert read_image(path).pixels.tolist() == [[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_and_rounded(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    read = read_image(save(tmp_path / f"deep.{suffix}", values)).pixels
    assert read[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]  # clipping would give 255 almost everywhere
    assert (read == read[..., :1]).all()


def test_integers_beyond_sixteen_bits_are_refused(tmp_path: Path) -> None:
    fits = save(tmp_path / "fits.tiff", np.array([[0, 65535]], np.int32))
    assert read_image(fits).pixels[0, :, 0].tolist() == [0, 255]
    for value in (65536, -1):
        path = save(tmp_path / "wide.tiff", np.array([[0, value]], np.int32))
        with pytest.raises(PhotoError, match="do not fit 16 bits"):
            read_image(path)


def test_palette(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2] = (255, 0, 0)
    path = tmp_path / "palette.png"
    PIL.Image.fromarray(pixels).quantize(4).save(path)
    with PIL.Image.open(path) as saved:
        assert saved.mode == "P"
    assert np.array_equal(read_image(path).pixels, pixels)


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    assert read_image(save(tmp_path / "a.png", rgba)).pixels.tolist() == [[[10, 20, 30], [255] * 3, [204] * 3]]
    grey = np.array([[[7, 255], [7, 0]]], np.uint8)
    assert read_image(save(tmp_path / "la.png", grey)).pixels.tolist() == [[[7] * 3, [255] * 3]]
    keyed = save(tmp_path / "key.png", np.array([[[9, 9, 9], [8, 8, 8]]], np.uint8), transparency=(9, 9, 9))
    assert read_image(keyed).pixels.tolist() == [[[255] * 3, [8] * 3]]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=100)
    read = read_image(path).pixels.astype(int)
    assert np.abs(read - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize(("orientation", "turned"), [(6, lambda p: np.rot90(p, -1)), (3, lambda p: np.rot90(p, 2))])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turned: Callable[..., np.ndarray]) -> None:
    pixels = noise(3, 5)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "phone.png", pixels, exif=exif)
    assert np.array_equal(read_image(path).pixels, turned(pixels))
    flat = np.zeros((16, 32, 3), np.uint8)
    flat[:, :16] = 255
    jpeg = read_image(save(tmp_path / "phone.jpg", flat, exif=exif)).pixels
    assert np.abs(jpeg.astype(int) - turned(flat)).max() <= 5


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_the_first_frame_of_an_animation_is_used(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"moving.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)
    with caplog.at_level(logging.WARNING):
        pixels = read_image(path).pixels
    assert (pixels == (255, 0, 0)).all()
    assert [r.getMessage() for r in caplog.records] == [f"{path} has 3 frames; only the first is used"]


def test_a_single_photo_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_image(save(tmp_path / "one.gif", noise(1, 1))).size == (1, 1)
    assert not caplog.records


def _missing(path: Path) -> str:
    return "no such file"


def _empty(path: Path) -> str:
    path.write_bytes(b"")
    return "empty"


def _folder(path: Path) -> str:
    path.mkdir()
    return "folder"


def _text(path: Path) -> str:
    path.write_text("this is no photo\n" * 20)
    return "not a photo"


def _truncated(path: Path, kind: str) -> str:
    save(path, noise(64, 64), format=kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "truncated"


def _truncated_jpeg(path: Path) -> str:
    return _truncated(path, "JPEG")


def _truncated_png(path: Path) -> str:
    return _truncated(path, "PNG")


def _float_tiff(path: Path) -> str:
    save(path, np.zeros((4, 4), np.float32), format="TIFF")
    return "float"


def _encapsulated_postscript(path: Path) -> str:  # Pillow would start Ghostscript for it
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n")
    return "not a photo"


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return "regular file"


def _loop(path: Path) -> str:
    path.symlink_to(path)
    return "symbolic links"


BROKEN = [_missing, _empty, _folder, _text, _truncated_jpeg, _truncated_png, _float_tiff, _encapsulated_postscript]


@pytest.mark.parametrize("make", [*BROKEN, _pipe, _loop])
def test_what_is_no_photo_is_refused_on_one_line(tmp_path: Path, make: Callable[[Path], str]) -> None:
    path = tmp_path / "bad one.jpg"
    reason = make(path)
    with pytest.raises(PhotoError) as caught:
        read_image(path)
    message = str(caught.value)
    assert "bad one.jpg" in message
    assert reason in message
    assert "\n" not in message
    assert caught.value.exit_code == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_photo_without_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.png", noise(2, 2))
    path.chmod(0)
    with pytest.raises(PhotoError, match=r"mine\.png: Permission denied"):
        read_image(path)


def test_a_denied_photo_is_a_photo_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "mine.png", noise(2, 2))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(PIL.Image, "open", denied)
    with pytest.raises(PhotoError, match=r"mine\.png: Permission denied"):
        read_image(path)


@pytest.mark.parametrize(("side", "shown"), [(30000, "900.0 megapixels"), (12000, "144.0 megapixels")])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_before_decoding(
    tmp_path: Path, side: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("the photo was decoded")

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", decoded)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(PhotoError, match=rf"bomb\.png: .*{shown} is over the limit of 100 megapixels"):
        read_image(path)


def test_pillow_is_left_as_it_was(tmp_path: Path) -> None:
    def settings() -> tuple[int | None, bool]:
        return PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES

    before = settings()
    for make in (_truncated_jpeg, _text):
        make(tmp_path / "x.jpg")
        with pytest.raises(PhotoError):
            read_image(tmp_path / "x.jpg")
    read_image(save(tmp_path / "fine.png", noise(2, 2)))
    assert settings() == before
