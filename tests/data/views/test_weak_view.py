from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.data.waves import shifts, write_waves
from usrn_keras.data.batches.padding import IMAGE_MEAN
from usrn_keras.data.decoding.images import read_image
from usrn_keras.data.views.weak_view import WeakView, Window


def _coordinates(height, width):
    """An image whose red is the row and green the column, and a map of the same."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8), (256 * rows + columns).astype(
        np.uint16
    )


def _whole(height, width, crop_size, **others):
    return Window(height, width, **{"top": 0, "left": 0, "flip": False, "crop_size": crop_size, **others})


@pytest.mark.parametrize("shape", [(30, 40), (40, 30), (1, 1), (3, 100)])
def test_shapes_and_types(shape):
    image = np.zeros((*shape, 3), np.uint8)
    view = WeakView(crop_size=24, long_side=32)
    for seed in range(20):
        cut, labels, sublabels = view(
            np.random.default_rng(seed), image, np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
        )
        assert cut.shape == (24, 24, 3) and cut.dtype == np.uint8
        assert labels.shape == sublabels.shape == (24, 24)
        assert labels.dtype == sublabels.dtype == np.int32


def test_an_image_alone_gives_a_tuple_of_one():
    (cut,) = WeakView(8, 8)(np.random.default_rng(0), np.zeros((8, 8, 3), np.uint8))
    assert cut.shape == (8, 8, 3)


def test_the_same_generator_gives_the_same_view():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    view = WeakView(16, 40)
    (first,), (again,), (other,) = (view(np.random.default_rng(seed), image) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_scale_one_without_crop_and_flip_changes_nothing():
    image, values = _coordinates(30, 40)
    cut, labels = WeakView(40, 40, scale=(1, 1), flip=0)(np.random.default_rng(0), image, values)
    np.testing.assert_array_equal(cut[:30], image)
    np.testing.assert_array_equal(labels[:30], values)


def test_padding_is_right_and_bottom_and_mirrored_with_the_flip():
    image, values = _coordinates(20, 30)
    for flip in (0, 1):
        cut, labels, sublabels = WeakView(40, 30, (1, 1), flip, ignore_index=77)(
            np.random.default_rng(0), image, values, values.astype(np.int32)
        )
        if flip:
            cut, labels, sublabels = cut[:, ::-1], labels[:, ::-1], sublabels[:, ::-1]
        padding = np.ones((40, 40), bool)
        padding[:20, :30] = False
        assert (cut[padding] == IMAGE_MEAN).all()
        assert (labels[padding] == 77).all() and (sublabels[padding] == -1).all()
        np.testing.assert_array_equal(cut[:20, :30], image)
        np.testing.assert_array_equal(sublabels[:20, :30], values)


def test_ignore_index_beyond_the_type_of_the_map():
    view = WeakView(8, 4, (1, 1), ignore_index=65535)
    labels = view(np.random.default_rng(0), np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8))[1]
    assert set(np.unique(labels)) == {1, 65535}


def test_image_and_map_show_the_same_place():
    """With coordinates as colours, the map's nearest pixel is within half a pixel of the image."""
    image, values = _coordinates(60, 80)
    view = WeakView(48, 80, scale=(0.6, 2.0))
    for seed in range(50):
        cut, labels = view(np.random.default_rng(seed), image, values)
        inside = labels != 255
        assert inside.mean() > 0.3
        shown = cut[inside][:, :2].astype(int)
        mapped = np.stack([labels[inside] // 256, labels[inside] % 256], axis=-1)
        assert np.abs(shown - mapped).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(90, 120), (33, 44), (77, 101), (60, 80)])
def test_enlarged_and_slightly_reduced_images_equal_opencv_bilinear(height, width):
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8), (5, 5), 2
    )
    whole = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(int)
    cut = _whole(height, width, 24, top=7, left=13).cut_image(image)
    assert np.abs(cut - whole[7:31, 13:37]).max() <= 2  # warpAffine rounds coordinates to 1/32 pixel


def test_strongly_reduced_images_are_averaged():
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2, ::2] = 200  # every fourth pixel: sampling would give all or nothing
    assert (_whole(16, 16, 16).cut_image(image) == 50).all()


@pytest.mark.parametrize("factor", [3, 4, 6])
def test_strongly_reduced_images_are_means_of_areas(factor):
    """Noise, so that the two pixels next to a centre, which bilinear reads, are not the mean of all."""
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    side = 48 // factor
    means = image.reshape(side, factor, side, factor, 3).mean(axis=(1, 3))
    cut = _whole(side, side, side).cut_image(image)
    assert np.abs(cut - means).max() <= 0.51


@pytest.mark.parametrize("scaled", [1, 5, 16, 17, 31, 64])
def test_maps_take_the_pixel_under_the_centre(scaled):
    values = np.random.default_rng(0).integers(0, 99, (17, 17), dtype=np.uint8)
    source = np.floor((np.arange(scaled) + 0.5) * 17 / scaled).astype(int)
    np.testing.assert_array_equal(
        _whole(scaled, scaled, scaled).cut_map(values, 255), values[source][:, source]
    )


def _drawn(view, shape, count=4000):
    rng = np.random.default_rng(0)
    return [view.draw(rng, *shape) for _ in range(count)]


def test_scales_are_uniform_and_keep_the_aspect():
    windows = _drawn(WeakView(32, 40, (0.5, 2.0)), (300, 400))
    sides, counts = np.unique([window.width for window in windows], return_counts=True)
    np.testing.assert_array_equal(sides, np.arange(20, 81))
    assert counts.min() > 30  # 66 expected, standard deviation 8
    assert {(w.height, w.width) for w in windows} == {
        (int(0.75 * side + 0.5), side) for side in range(20, 81)
    }


def test_long_side_is_the_height_of_an_upright_image():
    assert {window.height for window in _drawn(WeakView(32, 40, (1, 1)), (400, 300), 5)} == {40}


def test_crops_are_uniform_and_reach_the_borders():
    windows = _drawn(WeakView(32, 40, (1, 1)), (400, 400))
    for offsets in ([w.top for w in windows], [w.left for w in windows]):
        values, counts = np.unique(offsets, return_counts=True)
        np.testing.assert_array_equal(values, np.arange(9))
        assert counts.min() > 350  # 444 expected, standard deviation 20


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.9, 1.0])
def test_flip_probability(probability):
    flips = np.mean([window.flip for window in _drawn(WeakView(8, 8, flip=probability), (8, 8))])
    assert abs(flips - probability) < 0.04  # five standard deviations


@pytest.mark.parametrize(("scale", "long_side"), [((2.0, 1.0), 40), ((0.0, 1.0), 40), ((0.5, 1.0), 1)])
def test_impossible_scales(scale, long_side):
    with pytest.raises(ValueError, match=r"`(scale|long_side)`"):
        WeakView(8, long_side, scale)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("wide.jpg", (904, 1200)),
        ("wide.png", (904, 1200)),
        ("high.jpg", (1200, 904)),
        ("high.png", (1200, 904)),
    ],
)
def test_a_reduced_image_stays_where_its_maps_are(tmp_path, name, size):
    """Within half a pixel of the reduced image; it is reduced by 8."""
    path = write_waves(tmp_path / name, *size)
    view = WeakView(64, 100, scale=(0.5, 1.5), ignore_index=65535)
    image = read_image(path, at_least=view.largest)
    assert max(image.shape) == max(size) // 8
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.uint16)
    for seed in range(30):
        cut, *coordinates = view(np.random.default_rng(seed), image, rows, columns, size=size)
        inside = coordinates[0] != 65535
        assert np.abs(shifts(cut[inside], *(values[inside] for values in coordinates))).max() < 4


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize("long_side", [20, 90])
def test_each_band_is_cut_like_an_image(channels, long_side):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, channels), dtype=np.uint8)
    view = WeakView(crop_size=32, long_side=long_side)
    for seed in range(6):
        (found,) = view(np.random.default_rng(seed), image)
        assert found.shape == (32, 32, channels)
        window = view.draw(np.random.default_rng(seed), 40, 50)
        top, left, bottom, right = window.filled_box
        for channel in range(channels):
            (alone,) = view(np.random.default_rng(seed), np.repeat(image[..., [channel]], 3, axis=-1))
            box = found[top:bottom, left:right, channel], alone[top:bottom, left:right, 0]
            assert np.abs(box[0].astype(int) - box[1]).max() <= 1
        padding = np.ones((32, 32), bool)
        padding[top:bottom, left:right] = False
        assert (found[padding] == (IMAGE_MEAN if channels == 3 else 115)).all()
