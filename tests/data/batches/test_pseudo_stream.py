"""Batches with pseudo masks: read as labelled images are, with random numbers of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from usrn_keras.data import Batches, Sample, WeakView
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.errors import DataError
from usrn_keras.strong_view import StrongView

WEAK = WeakView(crop_size=8, long_side=16)
STRONG = StrongView()
JITTER = StrongView(jitter_probability=1.0, grayscale_probability=0.0, blur_probability=0.0)
PSEUDO = BatchSpec(pseudo=True)


@pytest.fixture
def samples(tmp_path, files):
    """Three labelled images of class 1; five others, the class of whose pseudo mask is 2, half of it kept."""
    half = np.full(files.size, 2, np.uint8)
    half[:, ::2] = 255
    labelled = [
        Sample(f"l{n}", files.image(tmp_path / f"l{n}.png", seed=n), files.mask(tmp_path / f"m{n}.png", 1))
        for n in range(3)
    ]
    pseudo = [
        Sample(
            f"u{n}", files.image(tmp_path / f"u{n}.png", seed=9 + n), files.mask(tmp_path / f"p{n}.png", half)
        )
        for n in range(5)
    ]
    return tuple(labelled), tuple(pseudo)


@pytest.fixture
def make(samples):
    def make(**settings):
        defaults = {
            "labelled": samples[0], "pseudo": samples[1], "batch_labelled": 2, "batch_unlabelled": 3,
            "weak_labelled": WEAK, "strong": STRONG, "num_classes": 3, "seed": 1, "spec": PSEUDO,
        }  # fmt: skip
        return Batches(**(defaults | settings))

    return make


def test_images_and_labels(make, samples):
    arrays = make().batch(0)
    assert {key: (value.shape, value.dtype) for key, value in arrays.items()} == {
        "labelled": ((2, 8, 8, 3), np.uint8),
        "labels": ((2, 8, 8), np.int32),
        "pseudo": ((3, 8, 8, 3), np.uint8),
        "pseudo_labels": ((3, 8, 8), np.int32),
    }
    kept = arrays["pseudo_labels"] == 2
    assert 0.2 < kept.mean() < 0.8 and set(np.unique(arrays["pseudo_labels"])) == {2, 255}
    names = make().names(0)
    assert len(names) == 5 and {str(sample.image) for sample in samples[1]} >= set(names[2:])


def test_labels_follow_the_view_of_their_image(tmp_path, files, make):
    """A mask that is the red channel of its image stays so, cropped and mirrored."""
    image = files.image(tmp_path / "u.png", seed=3)
    import cv2

    pixels = cv2.imread(str(image))
    pixels[..., 2] = (pixels[..., 2] > 127) * 255
    cv2.imwrite(str(image), np.repeat(np.repeat(pixels[:6, :8], 2, 0), 2, 1))
    mask = files.mask(tmp_path / "p.png", (cv2.imread(str(image))[..., 2] > 127).astype(np.uint8))
    view = WeakView(crop_size=8, long_side=16, scale=(1.0, 1.0))
    batches = make(pseudo=(Sample("u", image, mask),), weak_labelled=view)
    for step in range(4):
        arrays = batches.batch(step)
        np.testing.assert_array_equal(arrays["pseudo"][..., 0] > 127, arrays["pseudo_labels"] == 1)


def test_masks_of_the_data_set_may_have_other_values(make):
    """Pseudo masks contain class ids, whatever the masks of the data set contain."""
    id_map = np.full(256, -1, np.int32)
    id_map[[1, 7, 9]] = [0, 1, 2]  # 1 is the value in the masks of labelled images
    arrays = make(id_map=id_map).batch(0)
    assert set(np.unique(arrays["labels"])) <= {0, 255} and 2 in arrays["pseudo_labels"]


def test_colours_are_those_of_labelled_images_or_strong(make):
    plain = make(labelled_view=JITTER).batch(3)
    strong = make(labelled_view=JITTER, spec=replace(PSEUDO, strong=1)).batch(3)
    for arrays in (plain, strong):
        assert arrays["pseudo_parameters"].shape == (3, 6)
        np.testing.assert_array_equal(arrays["labelled_parameters"], plain["labelled_parameters"])
    assert (plain["pseudo_parameters"] != strong["pseudo_parameters"]).any()
    np.testing.assert_array_equal(plain["pseudo"], strong["pseudo"])
    on_host = make(spec=replace(PSEUDO, strong=1), strong_on_host=lambda images, _: 255 - images).batch(3)
    np.testing.assert_array_equal(on_host["pseudo"], 255 - plain["pseudo"])
    assert "pseudo_parameters" not in on_host


def test_sublabels_need_not_agree_with_labels(tmp_path, files, make, samples):
    path = files.mask(
        tmp_path / "s.png", np.where(np.arange(16) < 8, 4, 255).astype(np.uint8)[None].repeat(12, 0)
    )
    pseudo = tuple(replace(sample, sublabels=path) for sample in samples[1])
    arrays = make(pseudo=pseudo, parents=np.array([0, 0, 1, 1, 1])).batch(0)
    assert set(np.unique(arrays["pseudo_sublabels"])) == {-1, 4} and "sublabels" not in arrays
    assert arrays["pseudo_sublabels"].dtype == np.int32


def test_other_streams_are_bit_equal(make, samples):
    both = make(
        unlabelled=samples[1], weak_unlabelled=WEAK, spec=BatchSpec(unlabelled=True, strong=1, pseudo=True)
    )
    weak = make(unlabelled=samples[1], weak_unlabelled=WEAK, spec=BatchSpec(unlabelled=True, strong=1))
    one, other = both.batch(5), weak.batch(5)
    for key in other:
        np.testing.assert_array_equal(one[key], other[key])
    assert {"pseudo", "pseudo_labels", "pseudo_parameters"} == one.keys() - other.keys()
    assert (one["pseudo"] != one["weak"]).any()  # an order and views of its own


def test_views_differ_by_step_and_position(make, samples):
    """Of the same image; and each step gives the same views again."""
    batches = make(pseudo=samples[1][:1])
    arrays = [batches.batch(step)["pseudo"] for step in (0, 1, 0)]
    views = [view for array in arrays[:2] for view in array]
    assert len({view.tobytes() for view in views}) == len(views)
    np.testing.assert_array_equal(arrays[0], arrays[2])


def test_every_image_once_an_epoch(make):
    batches = make(batch_unlabelled=5)
    assert {tuple(sorted(batches.names(step)[2:])) for step in range(3)} == {
        tuple(sorted(batches.names(0)[2:]))
    }
    assert batches.names(0)[2:] != batches.names(1)[2:]


def test_errors(make):
    with pytest.raises(DataError, match="there are no unlabelled images, but a batch needs 3"):
        make(pseudo=())
    with pytest.raises(ValueError, match="`batch_unlabelled` must be above 0 with"):
        make(batch_unlabelled=0)
