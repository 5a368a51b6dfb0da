from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from usrn_keras.clustering import BalancedKMeans
from usrn_keras.data import read_sublabels
from usrn_keras.subclasses import SubclassMap
from usrn_keras.subclasses.sublabel_maps import cheapest_subclass, sublabel_map, write_sublabels

PRICES = np.array([0.0, 60.0, 0.0])


def of_grid(features):
    """What `sublabel_map` asks for, from features `(rows, columns, channels)`."""
    return features.reshape(-1, features.shape[-1]).__getitem__


def three_subclasses() -> SubclassMap:
    """Class 0 has the subclasses 0 and 1 at features 0 and 10, class 1 has subclass 2."""
    centers = np.array([[0.0], [10.0], [5.0]], "float32")
    return SubclassMap(
        ("a", "b"), np.array([2, 1]), np.ones(3), centers, np.ones(2), np.ones(2), np.zeros(2), PRICES
    )


def test_map_is_upsampled_by_nearest_neighbour():
    mask = np.zeros((8, 8), np.uint8)
    clusters = np.array([[0, 1], [1, 0]])
    found = sublabel_map(mask, clusters, of_grid(np.zeros((2, 2, 1))), three_subclasses())
    np.testing.assert_array_equal(found, np.kron(clusters, np.ones((4, 4), int)))


def test_disagreement_takes_the_nearest_centre_of_the_own_class():
    mask = np.zeros((4, 8), np.uint8)
    mask[0, 0] = 1  # thinner than a feature pixel
    mask[3, 7] = 255
    features = np.array([[[1.0], [9.0]]], "float16")
    clusters = np.array([[2, 2]])  # wrong everywhere but at [0, 0]
    found = sublabel_map(mask, clusters, of_grid(features), three_subclasses())
    assert found[0, 0] == 2
    assert (found[1:, :4] == 0).all() and (found[:3, 4:] == 1).all()
    assert found[3, 7] == -1


def test_parent_of_every_sublabel_is_the_label():
    rng = np.random.default_rng(0)
    mask = rng.choice(np.array([0, 1, 255], np.uint8), (13, 18))
    features = rng.normal(size=(4, 5, 1)).astype("float16")
    clusters = rng.integers(-1, 3, (4, 5))
    subclasses = three_subclasses()
    found = sublabel_map(mask, clusters, of_grid(features), subclasses)
    np.testing.assert_array_equal(found < 0, mask == 255)
    np.testing.assert_array_equal(subclasses.parents[found[found >= 0]], mask[mask != 255])


@pytest.mark.parametrize("total", [3, 254, 255, 600])
def test_files_are_lossless(tmp_path, total):
    sublabels = np.random.default_rng(total).integers(-1, total, (6, 7)).astype(np.int32)
    sublabels[0, 0] = total - 1
    write_sublabels(tmp_path / "s.png", sublabels, total)
    np.testing.assert_array_equal(read_sublabels(tmp_path / "s.png"), sublabels)
    with Image.open(tmp_path / "s.png") as file:
        assert file.mode == ("L" if total <= 254 else "I;16")


def test_prices_count_for_features_that_were_not_clustered():
    x = np.array([[4.0], [6.0], [7.9], [8.1]])  # |x - 0|^2 = |x - 10|^2 + 60 at x = 8
    assert cheapest_subclass(x, 0, three_subclasses(), priced=False).tolist() == [0, 1, 1, 1]
    assert cheapest_subclass(x, 0, three_subclasses(), priced=True).tolist() == [0, 0, 0, 1]
    assert cheapest_subclass(x, 1, three_subclasses(), priced=True).tolist() == [2] * 4


@pytest.mark.parametrize("offset", [0.0, 3000.0])
def test_cheapest_subclass_is_what_the_clustering_predicts(offset):
    """Also far from the origin, where float32 would cancel."""
    rows = np.random.default_rng(0).normal(size=(600, 4)) ** 2 + offset
    kmeans = BalancedKMeans(5, random_state=0).fit(rows)
    one = [np.array([5]), np.ones(5), kmeans.cluster_centers_, np.ones(1), np.ones(1), np.zeros(1)]
    subclasses = SubclassMap(("a",), *one, kmeans.prices_)
    found = cheapest_subclass(rows, 0, subclasses, priced=True)
    assert (found == kmeans.predict(rows)).mean() > 0.99
