"""Feature labels, sublabel maps and the whole of `make_subclasses`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image

from usrn_keras.data import Dataset, Sample, read_sublabels
from usrn_keras.subclasses import Clustering, SubclassMap, make_subclasses, sublabel_file
from usrn_keras.subclasses.features import feature_labels, feature_size
from usrn_keras.subclasses.head import calibrated_temperature, centroid_classifier
from usrn_keras.subclasses.sublabels import sublabel_map, write_sublabels


def three_subclasses() -> SubclassMap:
    """Class 0 has the subclasses 0 and 1 at features 0 and 10, class 1 has subclass 2."""
    centers = np.array([[0.0], [10.0], [5.0]], "float32")
    return SubclassMap(("a", "b"), np.array([2, 1]), np.array([1, 1, 1]), centers)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (1, 1), (5, 12)])
def test_feature_labels_take_the_pixel_nearest_to_the_centre(size):
    mask = np.arange(size[0] * size[1], dtype=np.uint16).reshape(size)
    labels = feature_labels(mask)
    assert labels.shape == feature_size(size)
    for (row, column), label in np.ndenumerate(labels):
        assert label == mask[min(4 * row + 2, size[0] - 1), min(4 * column + 2, size[1] - 1)]


def test_map_is_upsampled_by_nearest_neighbour():
    mask = np.zeros((8, 8), np.uint8)
    clusters = np.array([[0, 1], [1, 0]])
    found = sublabel_map(mask, clusters, np.zeros((2, 2, 1), "float16"), three_subclasses())
    np.testing.assert_array_equal(found, np.kron(clusters, np.ones((4, 4), int)))


def test_disagreement_takes_the_nearest_centre_of_the_own_class():
    mask = np.zeros((4, 8), np.uint8)
    mask[0, 0] = 1  # thinner than a feature pixel
    mask[3, 7] = 255
    features = np.array([[[1.0], [9.0]]], "float16")
    clusters = np.array([[2, 2]])  # wrong everywhere but at [0, 0]
    found = sublabel_map(mask, clusters, features, three_subclasses())
    assert found[0, 0] == 2
    assert (found[1:, :4] == 0).all() and (found[:3, 4:] == 1).all()
    assert found[3, 7] == -1


def test_parent_of_every_sublabel_is_the_label():
    rng = np.random.default_rng(0)
    mask = rng.choice(np.array([0, 1, 255], np.uint8), (13, 18))
    features = rng.normal(size=(4, 5, 1)).astype("float16")
    clusters = rng.integers(-1, 3, (4, 5))
    subclasses = three_subclasses()
    found = sublabel_map(mask, clusters, features, subclasses)
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


def write_dataset(folder, masks) -> Dataset:
    samples = []
    for index, mask in enumerate(masks):
        image = np.repeat((mask * 40).astype(np.uint8)[..., None], 3, axis=-1)
        image = image + np.random.default_rng(index).integers(0, 30, image.shape, dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{index}.png")
        Image.fromarray(mask).save(folder / f"{index}_mask.png")
        samples.append(Sample(f"sub/{index}", folder / f"{index}.png", folder / f"{index}_mask.png"))
    return Dataset("made", ("a", "b", "absent"), np.zeros((3, 3), np.uint8), tuple(samples), (), ())


def colours_at_stride_4() -> keras.Model:
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.AveragePooling2D(4)(inputs))


def test_make_subclasses(tmp_path):
    """Class a has 8 times the pixels of class b: as many subclasses of b's size, equally filled."""
    masks = [np.zeros((48, 64), np.uint8) for _ in range(3)]
    for mask in masks:
        mask[:16, :21] = 1
        mask[40:] = 255
    dataset = write_dataset(tmp_path, masks)
    warnings, folder = [], tmp_path / "out"
    subclasses = make_subclasses(colours_at_stride_4(), dataset, folder, Clustering(), warn=warnings.append)
    assert subclasses.counts.tolist() == [7, 1, 0]  # 2224 / 336 pixels, rounded up
    assert np.ptp(subclasses.sizes[:7]) <= 1
    assert warnings == ["class 'absent' has no pixel in the labelled images: it gets no subclass"]
    loaded = SubclassMap.load(folder)
    np.testing.assert_array_equal(loaded.parents, [0] * 7 + [1])
    for sample, mask in zip(dataset.labelled, masks, strict=True):
        sublabels = read_sublabels(sublabel_file(folder, sample))
        np.testing.assert_array_equal(sublabels < 0, mask == 255)
        np.testing.assert_array_equal(loaded.parents[sublabels[sublabels >= 0]], mask[mask != 255])
    assert {path.name for path in folder.iterdir()} == {"subclasses.json", "centers.npy", "sublabels"}


def test_interrupted_extraction_goes_on(tmp_path):
    """Features that are there are kept; the result is that of one go."""
    masks = [np.tile(np.array([0, 0, 0, 1], np.uint8), (32, 8)).repeat(4, 1)[:, :64] for _ in range(2)]
    dataset = write_dataset(tmp_path, masks)

    class Stops(Exception):
        pass

    class Progress:
        def task(self, description, total, done=0):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def advance(self, n=1, **numbers):
            raise Stops

    with pytest.raises(Stops):
        make_subclasses(colours_at_stride_4(), dataset, tmp_path / "parts", Clustering(), progress=Progress())
    assert (tmp_path / "parts/features/sub/0.npy").exists()
    parts = make_subclasses(colours_at_stride_4(), dataset, tmp_path / "parts", Clustering())
    whole = make_subclasses(colours_at_stride_4(), dataset, tmp_path / "whole", Clustering())
    np.testing.assert_array_equal(parts.centers, whole.centers)


def test_more_subclasses_than_feature_pixels_are_cut(tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[1, 1] = 1  # no feature pixel at all
    dataset = write_dataset(tmp_path, [mask])
    warnings = []
    subclasses = make_subclasses(
        colours_at_stride_4(), dataset, tmp_path / "out", Clustering(counts=[80, 2, 1]), warn=warnings.append
    )
    assert subclasses.counts.tolist() == [64, 1, 0]
    assert any("'a': 80 subclasses cut to 64" in text for text in warnings)
    assert read_sublabels(sublabel_file(tmp_path / "out", dataset.labelled[0]))[1, 1] == 64


def test_centroid_classifier_prefers_the_nearest_centre():
    rng = np.random.default_rng(0)
    centers, x = rng.normal(size=(6, 4)).astype("float32"), rng.normal(size=(50, 4)).astype("float32")
    kernel, bias = centroid_classifier(centers, 0.7)
    nearest = ((x[:, None] - centers) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal((x @ kernel + bias).argmax(1), nearest)


def test_temperature_is_calibrated():
    """Samples drawn with softmax(-|x - c|^2 / t) are best explained by about t."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(5, 3)).astype("float32") * 2
    x = rng.normal(size=(4000, 3)).astype("float32") * 2
    scores = (2 * x @ centers.T - (centers**2).sum(1)) / 2.0
    probabilities = np.exp(scores - scores.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) > rng.random((4000, 1))).argmax(1)
    assert 1.3 < calibrated_temperature(x, labels, centers) < 3.0
