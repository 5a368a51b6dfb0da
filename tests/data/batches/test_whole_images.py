from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.networks import red_dataset
from usrn_keras.data.batches.whole_images import (
    batches_by_size,
    consecutive_batches,
    padded_batches,
    read_whole,
)

SIZES = [(20, 24), (32, 32), (33, 24), (40, 30), (20, 24)]


@pytest.fixture
def dataset(tmp_path):
    return red_dataset(tmp_path, SIZES, 3)


def test_read_in_their_order_and_size(dataset):
    dataset, labels, reds = dataset
    items = list(read_whole(dataset.val, dataset, workers=3, ahead=4))
    assert [item.sample for item in items] == list(dataset.val)
    for item, label, red in zip(items, labels, reds, strict=True):
        np.testing.assert_array_equal(item.labels, np.where(label == 255, -1, label))
        np.testing.assert_array_equal(item.image[..., 0], red)


def test_neighbours_are_padded_to_the_same_size(dataset):
    dataset = dataset[0]
    groups = list(consecutive_batches(read_whole(dataset.val, dataset, workers=0, ahead=1), batch=2))
    assert [[item.sample.name for item in group] for group in groups] == [["0", "1"], ["2", "3"], ["4"]]
    assert [group[0].padded_size for group in groups] == [(32, 32), (64, 32), (32, 32)]
    alone = consecutive_batches(read_whole(dataset.val, dataset, workers=0, ahead=1), batch=1)
    assert [len(group) for group in alone] == [1] * 5


@pytest.mark.parametrize(
    ("batch", "waiting", "groups"),
    [
        (1, 2**20, ["0", "1", "2", "3", "4"]),
        (2, 2**20, ["01", "23", "4"]),
        (3, 2**20, ["014", "23"]),
        (3, 32 * 32 * 2, ["01", "23", "4"]),  # no more pixels may wait
    ],
)
def test_images_of_one_padded_size_are_gathered(dataset, batch, waiting, groups):
    images = read_whole(dataset[0].val, dataset[0], workers=0, ahead=1)
    found = list(batches_by_size(images, batch, waiting))
    assert ["".join(item.sample.name for item in group) for group in found] == groups


def test_padded_batches_have_the_mean_colour_and_ignored_labels_around(dataset):
    dataset, labels, reds = dataset
    images, maps = next(padded_batches(dataset.val, dataset, 2, workers=1))
    assert images.shape == (2, 32, 32, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(maps[0, :20, :24], np.where(labels[0] == 255, -1, labels[0]))
    assert (maps[0, 20:] == -1).all() and (maps[0, :, 24:] == -1).all()
    assert (images[0, 20:] == (round(reds[0].mean()), 7, 0)).all()
