"""The whole of `make_subclasses`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.subclasses.made_dataset import MASKS, Recorder, Stopped, contents, write_dataset
from usrn_keras.clustering import BalancedKMeans
from usrn_keras.data import read_sublabels
from usrn_keras.data.decoding.mask_files import check_sublabels
from usrn_keras.errors import RecipeError
from usrn_keras.subclasses import (
    Clustering,
    SubclassMap,
    make_subclasses,
    remove_features,
    sublabel_file,
)
from usrn_keras.subclasses.build_subclasses import _counts
from usrn_keras.subclasses.feature_grid import MaskSurvey


def maps_of(folder, dataset) -> list[np.ndarray]:
    return [read_sublabels(sublabel_file(folder, sample)) for sample in dataset.labelled]


def test_subclasses_of_equal_size(model, tmp_path):
    """Class a has 8 times the pixels of class b: as many subclasses of b's size, equally filled."""
    masks = [np.zeros((48, 64), np.uint8) for _ in range(3)]
    for mask in masks:
        mask[:16, :21] = 1
        mask[40:] = 255
    dataset = write_dataset(tmp_path / "data", masks)
    warnings, folder = [], tmp_path / "out"
    subclasses = make_subclasses(model, dataset, folder, Clustering(), warn=warnings.append)
    assert subclasses.counts.tolist() == [7, 1, 0]  # 2224 / 336 pixels, rounded up
    assert np.ptp(subclasses.sizes[:7]) <= 1
    assert warnings == ["class 'absent' has no pixels in the labelled images and gets no subclass"]
    loaded = SubclassMap.load(folder)
    np.testing.assert_array_equal(loaded.parents, [0] * 7 + [1])
    assert loaded.pixels.tolist() == [6672, 1008, 0]
    assert loaded.feature_pixels.tolist() == [420, 60, 0]
    assert (loaded.inertia[:2] > 0).all() and loaded.inertia[2] == 0
    assert len(loaded.prices) == 8 and loaded.prices[7] == 0
    for mask, found in zip(masks, maps_of(folder, dataset), strict=True):
        check_sublabels("map", found, mask, loaded.parents, 255)
    assert {path.name for path in folder.iterdir()} == {"subclasses.json", "centers.npy", "sublabels"}


def test_pixels_take_the_cluster_of_their_feature(model, dataset, tmp_path):
    """Where the label of a feature pixel is that of the pixel, its nearest clusters agree with the map."""
    subclasses = make_subclasses(model, dataset, tmp_path, Clustering(), keep_features=True)
    assert (tmp_path / "features").exists()
    for mask, found in zip(MASKS, maps_of(tmp_path, dataset), strict=True):
        check_sublabels("map", found, mask, subclasses.parents, 255)
    total = sum(
        np.bincount(found[found >= 0], minlength=subclasses.total) for found in maps_of(tmp_path, dataset)
    )
    assert total.sum() == sum((mask < 3).sum() for mask in MASKS)
    assert (total > 0).all()


@pytest.mark.parametrize("stop_in", ["reading masks", "features", "clustering", "sublabel maps"])
def test_interrupted_anywhere_ends_with_equal_files(model, dataset, tmp_path, stop_in):
    clustering = Clustering(rows_per_image=30, batch=2)
    make_subclasses(model, dataset, tmp_path / "whole", clustering)
    with pytest.raises(Stopped):
        make_subclasses(model, dataset, tmp_path / "parts", clustering, progress=Recorder(stop_in, 2))
    progress = Recorder()
    make_subclasses(model, dataset, tmp_path / "parts", clustering, progress=progress)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    if stop_in == "sublabel maps":
        assert progress.tasks["sublabel maps"][0] == 2


@pytest.mark.parametrize("change", [{"seed": 1}, {"size_factor": 2.0}, {"assignment": "free"}])
def test_maps_of_other_options_are_not_taken_up(model, dataset, tmp_path, change):
    make_subclasses(model, dataset, tmp_path / "new", Clustering(**change))
    with pytest.raises(Stopped):
        make_subclasses(model, dataset, tmp_path / "out", Clustering(), progress=Recorder("sublabel maps", 7))
    make_subclasses(model, dataset, tmp_path / "out", Clustering(**change))
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


def test_rows_per_image(model, dataset, tmp_path):
    """Fewer rows of the large class, all of the small one; every label pixel has its sublabel."""
    every = make_subclasses(model, dataset, tmp_path / "every", Clustering())
    few = make_subclasses(model, dataset, tmp_path / "few", Clustering(rows_per_image=30))
    assert few.feature_pixels[0] < every.feature_pixels[0]
    assert few.feature_pixels[1] == every.feature_pixels[1]
    np.testing.assert_array_equal(few.pixels, every.pixels)
    np.testing.assert_array_equal(few.counts, every.counts)  # K_c comes from the masks
    assert np.ptp(few.sizes[few.of_class(0)]) <= 1
    for mask, found in zip(MASKS, maps_of(tmp_path / "few", dataset), strict=True):
        check_sublabels("map", found, mask, few.parents, 255)
    make_subclasses(model, dataset, tmp_path / "again", Clustering(rows_per_image=30))
    assert contents(tmp_path / "again") == contents(tmp_path / "few")


def test_dropped_features_take_the_priced_cluster(model, tmp_path):
    """One class, one image: every feature pixel is where `predict` puts it, so sizes stay about equal."""
    dataset = write_dataset(tmp_path / "data", [np.zeros((128, 160), np.uint8)])
    clustering = Clustering(counts=[4, 1, 1], rows_per_image=640)
    subclasses = make_subclasses(model, dataset, tmp_path / "out", clustering)
    assert subclasses.sizes.tolist() == [160] * 4
    sizes = np.bincount(maps_of(tmp_path / "out", dataset)[0][::4, ::4].ravel())
    assert sizes.sum() == 1280 and (abs(sizes - 320) < 60).all()


def test_more_subclasses_than_feature_pixels_are_cut(model, tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[1, 1] = 1  # no feature pixel at all
    dataset = write_dataset(tmp_path / "data", [mask])
    warnings = []
    subclasses = make_subclasses(
        model, dataset, tmp_path / "out", Clustering(counts=[80, 2, 1]), warn=warnings.append
    )
    assert subclasses.counts.tolist() == [64, 1, 0]
    assert any("'a': 80 subclasses reduced to 64" in text for text in warnings)
    assert maps_of(tmp_path / "out", dataset)[0][1, 1] == 64
    assert subclasses.feature_pixels.tolist() == [64, 0, 0]


def test_more_than_254_subclasses(model, tmp_path):
    mask = np.zeros((64, 96), np.uint8)
    mask[:8] = 1
    dataset = write_dataset(tmp_path / "data", [mask])
    subclasses = make_subclasses(model, dataset, tmp_path / "out", Clustering(counts=[300, 40, 1]))
    assert subclasses.total == 340
    found = maps_of(tmp_path / "out", dataset)[0]
    check_sublabels("map", found, mask, subclasses.parents, 255)
    assert len(np.unique(found)) == 340


def test_killed_in_a_class_loses_that_class_alone(model, dataset, tmp_path, monkeypatch):
    made = []

    class Counted(BalancedKMeans):
        def fit(self, X, y=None):
            made.append(self.n_clusters)
            if made == [5, 3]:
                raise KeyboardInterrupt
            return super().fit(X, y)

    monkeypatch.setattr("usrn_keras.clustering.BalancedKMeans", Counted)
    clustering = Clustering(counts=[5, 3, 1])
    with pytest.raises(KeyboardInterrupt):
        make_subclasses(model, dataset, tmp_path, clustering)
    make_subclasses(model, dataset, tmp_path, clustering)
    assert made == [5, 3, 3]


def test_features_are_removed(model, dataset, tmp_path):
    make_subclasses(model, dataset, tmp_path, Clustering(), keep_features=True)
    remove_features(tmp_path)
    remove_features(tmp_path)  # nothing left to remove
    assert {path.name for path in tmp_path.iterdir()} == {"subclasses.json", "centers.npy", "sublabels"}


def test_more_subclasses_than_16_bits_are_refused(dataset):
    counts = {"pixels": np.array([[40000, 40000, 0]]), "rows": np.array([[40000, 40000, 0, 0]])}
    survey = MaskSurvey((), (), complete=np.ones(1, bool), digest="", **counts)
    options = Clustering(counts=[40000, 25535, 1])
    assert _counts(survey, dataset, options, warn=str).sum() == 65535
    with pytest.raises(RecipeError, match="65536 subclasses exceed the limit of a sublabel map, 65535"):
        _counts(survey, dataset, Clustering(counts=[40000, 25536, 1]), warn=str)
