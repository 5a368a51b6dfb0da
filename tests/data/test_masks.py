from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.dataset import Sample
from usrn_keras.data.masks import Rules, read_mask, read_sample
from usrn_keras.errors import DataError

IDS = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)
COLOURS = np.array([[10, 20, 30, 0], [200, 0, 0, 1], [0, 0, 0, 255]], np.int32)


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
def test_grey_png_of_few_bits_is_not_stretched(tmp_path, files, bits):
    values = np.arange(2**bits, dtype=np.uint8)[None]
    files.grey_png(tmp_path / "a.png", values, bits)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", Rules(2**bits)), values)


def test_ids_outside_the_classes_are_listed_with_the_file(tmp_path, files):
    path = files.mask(tmp_path / "a.png", np.array([[0, 9, 4, 255]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png contains ids outside the 3 classes: 4, 9\n") as caught:
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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_id_map_with_values_that_are_not_allowed(tmp_path, files, dtype):
    id_map = np.full(256, -1, np.int32)
    id_map[[0, 255, 128]] = 0, 1, 255
    rules = Rules(2, 255, id_map)
    mask = read_mask(files.mask(tmp_path / "a.png", np.array([[0, 255, 128]], dtype)), rules)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, [[0, 1, 255]])
    with pytest.raises(DataError, match="outside the 3 ids of the data set: 1, 254") as caught:
        read_mask(files.mask(tmp_path / "a.png", np.array([[0, 254, 1]], dtype)), rules)
    assert "Allowed are 0, 128, 255; correct the mask" in caught.value.hint


def test_a_16_bit_value_beyond_the_map_is_not_allowed(tmp_path, files):
    rules = Rules(2, 255, np.array([0, 1, -1]))
    with pytest.raises(DataError, match="outside the 2 ids of the data set: 2, 300"):
        read_mask(files.mask(tmp_path / "a.png", np.array([[1, 2, 300]], np.uint16)), rules)


def test_id_map_of_more_than_255_classes_gives_16_bits(tmp_path, files):
    id_map = np.full(65536, -1, np.int32)
    id_map[:300], id_map[1000] = np.arange(300), 65535
    mask = read_mask(
        files.mask(tmp_path / "a.png", np.array([[0, 299, 1000]], np.uint16)), Rules(300, 65535, id_map)
    )
    assert mask.dtype == np.uint16
    np.testing.assert_array_equal(mask, [[0, 299, 65535]])


def test_many_ids_outside_are_cut_short(tmp_path, files):
    with pytest.raises(DataError, match=r": 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, \.\.\.\n"):
        read_mask(files.mask(tmp_path / "a.png", np.arange(40, dtype=np.uint8)[None]), Rules(3))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colours_become_ids(tmp_path, mode, suffix):
    image = Image.new("RGB", (3, 2), (10, 20, 30))
    image.putpixel((1, 0), (200, 0, 0))
    image.putpixel((2, 1), (0, 0, 0))
    image = image.quantize(8) if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    mask = read_mask(tmp_path / f"a.{suffix}", Rules(2, colour_map=COLOURS))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, [[0, 1, 0], [0, 0, 255]])


def test_colours_where_ids_are_expected(tmp_path, files):
    with pytest.raises(
        DataError, match=r"a\.png contains colours \(RGB\), but data.mask_format = 'ids'"
    ) as caught:
        read_mask(files.image(tmp_path / "a.png"), Rules(3))
    assert "Set data.mask_format = 'colours'" in caught.value.hint and "palette.txt" in caught.value.hint


@pytest.mark.parametrize("mode", ["L", "1", "I;16"])
def test_grey_values_where_colours_are_expected(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(
        DataError, match=r"a\.png contains grey values .*data.mask_format = 'colours'"
    ) as caught:
        read_mask(tmp_path / "a.png", Rules(3, colour_map=COLOURS))
    assert "Set data.mask_format = 'ids'" in caught.value.hint


def test_palette_ids_read_as_colours_are_colours_of_no_class(tmp_path, files):
    with pytest.raises(DataError, match="contains colours of no class: 254 254 254"):
        read_mask(files.palette_mask(tmp_path / "a.png", np.ones((2, 2))), Rules(2, colour_map=COLOURS))


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
