"""Size, orientation and pixels of a file agree, whatever the format and the place of the orientation."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.tools import shared
from usrn_keras.data.dataset import Sample
from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.decoding.images import image_size, read_image
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.data.masks import Rules, read_sample
from usrn_keras.errors import DataError

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def corners(height=16, width=24):
    """An image whose four corners and sides differ."""
    ramp = np.linspace(0, 200, height * width).reshape(height, width)
    return np.dstack([ramp, ramp[::-1], ramp[:, ::-1]]).astype(np.uint8)


def encoded(suffix, array=None, orientation=1, **options):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(corners() if array is None else array).save(file, suffix, exif=exif, **options)
    return file.getvalue()


def upright(array, orientation):
    """The oracle: what the orientations mean, in numpy."""
    return {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }[orientation](array)


def with_xmp(suffix, orientation):
    packet = XMP % orientation
    if suffix == "jpeg":
        body = b"http://ns.adobe.com/xap/1.0/\0" + packet
        file = io.BytesIO()
        Image.fromarray(corners()).save(file, "jpeg")
        data = file.getvalue()
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if suffix == "webp":
        file = io.BytesIO()
        Image.fromarray(corners()).save(file, "webp", lossless=True, xmp=packet)
        return file.getvalue()
    data, body = encoded("png"), b"iTXt" + b"XML:com.adobe.xmp\0\0\0\0\0" + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    file = io.BytesIO()
    Image.fromarray(corners()).save(file, "png")
    data = file.getvalue()
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpeg"])
def test_every_format_is_turned_as_exif_asks(tmp_path, suffix, orientation):
    options = {"webp": {"lossless": True}, "jpeg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    (tmp_path / "a").write_bytes(encoded(suffix, orientation=orientation, **options))
    expected, found = upright(corners(), orientation), read_image(tmp_path / "a")
    assert image_size(tmp_path / "a") == found.shape[:2] == expected.shape[:2]
    assert np.abs(found.astype(int) - expected).max() <= (8 if suffix == "jpeg" else 0)
    reduced = read_image(tmp_path / "a", at_least=3)
    assert reduced.shape == (expected.shape[0] // 8, expected.shape[1] // 8, 3)
    means = cv2.resize(expected, reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - means).max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "jpeg"])
def test_xmp_counts_where_exif_has_no_orientation(tmp_path, suffix, orientation):
    (tmp_path / "a").write_bytes(with_xmp(suffix, orientation))
    shown = upright(np.asarray(Image.open(tmp_path / "a")), orientation)  # stored as it is
    found = read_image(tmp_path / "a")
    assert image_size(tmp_path / "a") == found.shape[:2] == shown.shape[:2]
    assert np.abs(found.astype(int) - shown).max() <= (4 if suffix == "jpeg" else 0)


@pytest.mark.parametrize("orientation", [3, 5, 6])
@pytest.mark.parametrize(
    ("suffix", "mode"), [("png", "L"), ("png", "P"), ("tiff", "L"), ("tiff", "P"), ("png", "I;16")]
)
def test_masks_are_turned_like_images(tmp_path, suffix, mode, orientation):
    ids = (np.arange(6 * 8) % 5).reshape(6, 8)
    mask = Image.fromarray(ids.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        mask.putpalette([0, 0, 0, 9, 9, 9, 30, 0, 0, 0, 40, 0, 0, 0, 50])
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask.save(tmp_path / "a", suffix, exif=exif)
    np.testing.assert_array_equal(read_raw(tmp_path / "a").values, upright(ids, orientation))


@pytest.mark.parametrize("folder", ["turned_90", "turned_180"])
def test_masks_of_webp_photographs_of_phones_fit(folder):
    root = shared(f"cases/webp_orientation/{folder}")
    for mask in sorted((root / "masks").iterdir()):
        image = root / "images" / f"{mask.stem}.webp"
        shown, labels = read_sample(Sample(mask.stem, image, mask), Rules(3))
        assert shown.shape[:2] == labels.shape == image_size(image)
        # The scene of the case: cats are red. On the image as it is shown, they are where the mask says.
        cats = shown[labels == 1].astype(int).mean(axis=0)
        assert cats[0] > 150 and cats[0] > 1.3 * cats[1]


@pytest.mark.parametrize(
    ("save", "expected"),
    [
        (lambda path: Image.new("L", (5, 4)).save(path, "png"), ("PNG", (4, 5), 1, 8)),
        (lambda path: Image.new("RGBA", (5, 4)).save(path, "webp"), ("WebP", (4, 5), 3, 8)),
        (lambda path: Image.new("RGB", (5, 4)).save(path, "webp", lossless=True), ("WebP", (4, 5), 3, 8)),
        (lambda path: Image.new("CMYK", (5, 4)).save(path, "jpeg"), ("JPEG", (4, 5), 4, 8)),
        (lambda path: Image.new("I;16", (5, 4)).save(path, "tiff"), ("TIFF", (4, 5), 1, 16)),
        (lambda path: Image.new("P", (5, 4)).save(path, "bmp"), ("BMP", (4, 5), 1, 8)),
        (lambda path: Image.new("P", (5, 4)).save(path, "gif"), ("GIF", (4, 5), 1, 8)),
    ],
)
def test_facts_of_the_header(tmp_path, save, expected):
    save(tmp_path / "a")
    facts = read_facts(tmp_path / "a")
    assert (facts.format, facts.size, facts.bands, facts.bits) == expected and facts.frames == 1


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp", "png"])
def test_the_first_of_several_pictures_is_read_and_the_others_are_named(tmp_path, suffix):
    first, second = Image.new("RGB", (8, 6), (200, 0, 0)), Image.new("RGB", (8, 6), (0, 0, 200))
    options = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / "a", suffix, save_all=True, append_images=[second], **options)
    facts = read_facts(tmp_path / "a")
    assert facts.frames == 2 and "2 p" in facts.warnings[0]
    assert (read_image(tmp_path / "a") == (200, 0, 0)).all()


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    ],
)
def test_a_sound_file_of_another_format_is_named(tmp_path, start, format):
    (tmp_path / "a.jpg").write_bytes(start + bytes(200))
    for read in (read_image, image_size, read_raw):
        with pytest.raises(DataError, match=f"an image in the format {format}, which is not read") as raised:
            read(tmp_path / "a.jpg")
        assert "Convert it to JPEG or PNG" in raised.value.hint


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("six_bands", "TIFF of 6 bands of 8 bits"),
        ("floating", r"TIFF of 3 bands of 32 bits \(floating point\)"),
    ],
)
def test_a_tiff_that_is_no_photograph_says_what_it_is(folder, what):
    path = shared(f"cases/bands_tiff/{folder}/t00.tif")
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=f"{what}; images of 1, 3 or 4 bands of 8 or 16 bits") as raised:
            read(path)
        assert "gdal_translate" in raised.value.hint


def test_four_bands_in_planes_are_read_as_rgb(tmp_path):
    path = shared("cases/bands_tiff/four_planes/t00.tif")
    image = read_image(path)
    planes = np.frombuffer(path.read_bytes()[206 : 206 + 3 * 6144], np.uint8).reshape(3, 64, 96)
    np.testing.assert_array_equal(image, planes.transpose(1, 2, 0))
    assert image_size(path) == (64, 96)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks_of_floating_point_hold_whole_numbers(tmp_path, dtype):
    ids = (np.arange(48) % 3).reshape(6, 8).astype(dtype)
    assert cv2.imwrite(str(tmp_path / "a.tif"), ids)
    np.testing.assert_array_equal(read_raw(tmp_path / "a.tif").values, ids)
    assert cv2.imwrite(str(tmp_path / "b.tif"), ids + 0.25)
    with pytest.raises(DataError, match=r"b\.tif cannot be a mask: it is a TIFF of 1 band of .*floating"):
        read_raw(tmp_path / "b.tif")


def test_16_bit_images_are_read_the_same_every_time(tmp_path):
    """OpenCV 5 returns memory that was never written for RGB TIFFs with one of its flags."""
    values = np.random.default_rng(0).integers(0, 4000, (64, 96, 3)).astype(np.uint16)
    assert cv2.imwrite(str(tmp_path / "a.tif"), values[..., ::-1])
    expected = np.round(np.clip((values - 100.0) / 3000, 0, 1) * 255).astype(np.uint8)
    for seed in range(8):
        np.full(values.size, seed, np.uint16)  # other content of the memory that is free now
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif", value_range=(100, 3100)), expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_a_value_range_scales_16_bits_and_leaves_8_bits(tmp_path, dtype):
    values = np.array([[-2000, -1000, 0, 1000, 3000]]) + (2000 if dtype == np.uint16 else 0)
    low = int(values[0, 1])
    assert cv2.imwrite(str(tmp_path / "a.tif"), values.astype(dtype))
    found = read_image(tmp_path / "a.tif", value_range=(low, low + 2000))
    assert found[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    Image.new("RGB", (5, 4), (9, 99, 199)).save(tmp_path / "b.png")
    assert (read_image(tmp_path / "b.png", value_range=(0, 3000)) == (9, 99, 199)).all()


def test_signed_numbers_need_a_value_range(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((4, 5), np.int16))
    with pytest.raises(DataError, match=r"which of its values is black and which is white is not known"):
        read_image(tmp_path / "a.tif")
