from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.files.images import read_image
from usrn_keras.data.files.masks import Rules, read_mask, read_sample
from usrn_keras.data.files.sublabels import check_sublabels, read_sublabels
from usrn_keras.data.sample import Sample
from usrn_keras.errors import DataError

RED = (200, 10, 30)
IDS = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)
PARENTS = np.repeat([0, 1], [2, 299])  # of 301 subclasses


def test_image_is_rgb(tmp_path):
    Image.new("RGB", (5, 4), RED).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.shape == (4, 5, 3) and image.dtype == np.uint8
    assert (image == RED).all()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("RGBA", (*RED, 9), RED),
        ("LA", (77, 9), (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_image_modes_become_rgb(tmp_path, mode, colour, expected):
    Image.new(mode, (5, 4), colour).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == expected).all()


def test_palette_image_gives_its_colours(tmp_path):
    image = Image.new("P", (5, 4), 3)
    image.putpalette([0] * 9 + list(RED))
    image.save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == RED).all()


def test_cmyk_image(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() <= 3


def test_16_bit_image_keeps_the_upper_byte(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5), 0xAB12, np.uint16))
    assert (read_image(tmp_path / "a.png") == 0xAB).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_rotation_is_carried_out(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (6, 4), RED).save(tmp_path / f"a.{suffix}", exif=exif)
    assert read_image(tmp_path / f"a.{suffix}").shape == (6, 4, 3)


@pytest.mark.parametrize("mode", ["P", "L", "I;16"])
def test_exif_rotation_of_a_mask_is_carried_out(tmp_path, mode):
    exif = Image.Exif()
    exif[0x112] = 6
    mask = Image.new(mode, (6, 4), 1)
    if mode == "P":
        mask.putpalette(list(range(9)))  # a file holds no index without a colour
    mask.putpixel((0, 0), 2)
    mask.save(tmp_path / "a.png", exif=exif)
    ids = read_mask(tmp_path / "a.png", Rules(3))
    assert ids.shape == (6, 4) and ids[0, 3] == 2 and ids.sum() == 25


def test_single_pixel_image(tmp_path):
    Image.new("RGB", (1, 1), RED).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"", "is empty"), (b"no image", "cannot be read")]
)
@pytest.mark.parametrize("read", [read_image, lambda path: read_mask(path, Rules()), read_sublabels])
def test_file_without_readable_content(tmp_path, content, message, read):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"broken.png {message}"):
        read(path)


@pytest.mark.parametrize("palette", [True, False])
def test_truncated_mask(tmp_path, files, palette):
    ids = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    path = (files.palette_mask if palette else files.mask)(tmp_path / "a.png", ids)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read"):
        read_mask(path, Rules())


def test_folder_in_place_of_an_image(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path)


def test_palette_mask_gives_ids(tmp_path, files):
    mask = read_mask(files.palette_mask(tmp_path / "a.png", IDS), Rules(3))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, IDS)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [("png", np.uint8), ("png", np.uint16), ("bmp", np.uint8), ("tif", np.uint8), ("tif", np.uint16)],
)
def test_grey_mask_gives_its_values(tmp_path, files, suffix, dtype):
    mask = read_mask(files.mask(tmp_path / f"a.{suffix}", IDS.astype(dtype)), Rules(3))
    assert mask.dtype == dtype
    np.testing.assert_array_equal(mask, IDS)


def test_more_than_255_classes(tmp_path, files):
    ids = np.array([[0, 299, 65535]], np.uint16)
    np.testing.assert_array_equal(read_mask(files.mask(tmp_path / "a.png", ids), Rules(300, 65535)), ids)


def test_one_bit_mask(tmp_path):
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).convert("1").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", Rules(2)), [[0, 1], [1, 1]])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_of_few_bits_is_not_stretched(tmp_path, bits):
    values = np.arange(2**bits, dtype=np.uint8)[None]
    _write_grey_png(tmp_path / "a.png", values, bits)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", Rules(2**bits)), values)


def _write_grey_png(path, values, bits):
    """Neither OpenCV nor Pillow writes grey PNG of 2 or 4 bits."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    shifts = np.arange(bits - 1, -1, -1)
    rows = [b"\0" + np.packbits(((row[:, None] >> shifts) & 1).reshape(-1)).tobytes() for row in values]
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_colour_mask_is_refused(tmp_path, files):
    with pytest.raises(DataError, match="holds colours"):
        read_mask(files.image(tmp_path / "a.png"), Rules(3))


def test_ids_outside_the_classes_are_listed_with_the_file(tmp_path, files):
    path = files.mask(tmp_path / "a.png", np.array([[0, 9, 4, 255]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png holds ids outside the 3 classes: 4, 9\n") as caught:
        read_mask(path, Rules(3))
    assert "0 to 2 and ignore_index 255" in caught.value.hint


def test_ignore_index_255_is_no_class_when_another_is_set(tmp_path, files):
    with pytest.raises(DataError, match="3 classes: 255"):
        read_mask(files.mask(tmp_path / "a.png", IDS), Rules(3, ignore_index=254))


def test_without_num_classes_ids_are_not_checked(tmp_path, files):
    assert read_mask(files.mask(tmp_path / "a.png", 200), Rules()).max() == 200


def test_id_map(tmp_path, files):
    rules = Rules(2, 255, np.array([255, 0, 1], np.uint8))
    path = files.mask(tmp_path / "a.png", np.array([[0, 1, 2, 255]], np.uint8))
    np.testing.assert_array_equal(read_mask(path, rules), [[255, 0, 1, 255]])
    with pytest.raises(DataError, match="outside the 3 ids of the data set: 3"):
        read_mask(files.mask(tmp_path / "b.png", 3), rules)


@pytest.mark.parametrize(("dtype", "ignored"), [(np.uint8, 255), (np.uint16, 65535)])
def test_sublabels_are_minus_one_where_ignored(tmp_path, files, dtype, ignored):
    path = files.mask(tmp_path / "a.png", np.array([[0, 254, ignored]], dtype))
    sublabels = read_sublabels(path)
    assert sublabels.dtype == np.int32
    np.testing.assert_array_equal(sublabels, [[0, 254, -1]])


def test_16_bit_sublabels_above_255(tmp_path, files):
    path = files.mask(tmp_path / "a.png", np.array([[255, 300]], np.uint16))
    np.testing.assert_array_equal(read_sublabels(path), [[255, 300]])


def test_sample(tmp_path, files):
    sample = Sample("a", files.image(tmp_path / "a.png"), files.mask(tmp_path / "m.png", 2))
    image, mask = read_sample(sample, Rules(3))
    assert image.shape == (*files.size, 3) and mask.shape == files.size


def test_sample_without_mask(tmp_path, files):
    with pytest.raises(DataError, match="has no mask"):
        read_sample(Sample("a", files.image(tmp_path / "a.png")), Rules(3))


@pytest.mark.parametrize(("size", "hint"), [((16, 12), "EXIF"), ((12, 15), "exactly")])
def test_mask_of_another_size(tmp_path, files, size, hint):
    sample = Sample("a", files.image(tmp_path / "a.png"), files.mask(tmp_path / "m.png", 0, size))
    with pytest.raises(
        DataError, match=rf"m\.png is {size[1]}x{size[0]} pixels, its image .*a\.png is 16x12"
    ) as e:
        read_sample(sample, Rules(3))
    assert hint in e.value.hint


def test_absurdly_large_image_is_refused(tmp_path):
    _write_grey_png(tmp_path / "a.png", np.zeros((1, 8), np.uint8), 8)
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match="100000x100000 pixels, the limit is 268435456"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="100000x100000 pixels, the limit is 268435456"):
        read_mask(tmp_path / "a.png", Rules())


def test_sublabels_of_their_labels_pass():
    labels = np.array([[0, 1, 1, 255]], np.uint8)
    check_sublabels("s.png", np.array([[1, 2, 300, -1]], np.int32), labels, PARENTS, 255)
    check_sublabels("s.png", np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8), PARENTS, 255)


@pytest.mark.parametrize("sublabel", [0, 1, 301, 65534, -1])
def test_sublabels_of_another_label_are_refused(sublabel):
    """Another class, no subclass at all, or ignored where the label is not."""
    sublabels = np.array([[2, sublabel, 2, sublabel]], np.int32)
    with pytest.raises(DataError, match=r"s\.png: 2 of 4 pixels hold no subclass \(0 to 300\).*\n.*delete"):
        check_sublabels("s.png", sublabels, np.ones((1, 4), np.uint16), PARENTS, 255)


def test_a_sublabel_where_the_label_is_ignored_is_refused():
    with pytest.raises(DataError, match="1 of 1 pixels"):
        check_sublabels("s.png", np.array([[2]], np.int32), np.array([[255]], np.uint8), PARENTS, 255)
