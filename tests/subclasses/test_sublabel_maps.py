from __future__ import annotations

import numpy as np
import pytest

from tests.subclasses.made_dataset import SIZES, colours_at_stride_4, masks_of, write_dataset
from usrn_keras.data import read_image, read_sublabels
from usrn_keras.data.batches.padding import pad_image
from usrn_keras.subclasses import Clustering, SubclassMap, sublabel_file
from usrn_keras.subclasses.class_clusters import ClassClusters
from usrn_keras.subclasses.extract_features import extract_features
from usrn_keras.subclasses.feature_grid import choose_cells
from usrn_keras.subclasses.sublabel_maps import SublabelMaps

MASKS = masks_of(*SIZES[:4])
COUNTS = np.array([3, 2, 0])
# Which is nearest hangs on the noise of the channels alone; prices are enough to change it.
CENTERS = 35 + np.array([[1, 0, 0], [0, 1.013, 0], [0, 0, 1.029], [1, -1, 0], [-1, 1.017, 0]], np.float32)
PRICES = np.array([0.0, 3.0, -3.0, 4.0, 0.0])


def drawn_clusters(store) -> list[ClassClusters]:
    """Labels that have nothing to do with the features, so that each has one place to come from."""
    rng = np.random.default_rng(2)
    rows = store.counts.sum(axis=0)
    return [
        ClassClusters(rng.integers(0, max(1, count), rows[c]).astype(np.uint8), CENTERS, PRICES, 0.0)
        for c, count in enumerate(COUNTS)
    ]


def cheapest(feature: np.ndarray, class_id: int, prices: np.ndarray) -> int:
    own = range(0, 3) if class_id == 0 else range(3, 5)
    return min(own, key=lambda j: ((feature.astype(float) - CENTERS[j]) ** 2).sum() + prices[j])


@pytest.mark.parametrize("limit", [0, 12])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_pixel_has_the_subclass_that_the_rules_give(tmp_path, limit, workers):
    """Clustered: that of its row; dropped: the cheapest; of another class than its feature: the nearest."""
    model, dataset = colours_at_stride_4(), write_dataset(tmp_path / "data", MASKS)
    clustering = Clustering(rows_per_image=limit, batch=2)
    survey, store = extract_features(model, dataset, tmp_path, clustering)
    clusters = drawn_clusters(store)
    numbers = [np.ones(5), CENTERS, np.ones(3), np.ones(3), np.zeros(3), PRICES]
    subclasses = SubclassMap(dataset.classes, COUNTS, *numbers)
    SublabelMaps(dataset, survey, store, clusters, subclasses, clustering, tmp_path).write(
        model, workers=workers
    )
    rules = set()
    for image, sample in enumerate(survey.samples):
        mask = MASKS[dataset.labelled.index(sample)]
        found = read_sublabels(sublabel_file(tmp_path, sample))
        features = np.asarray(model.predict_on_batch(pad_image(read_image(sample.image))[None]))[0]
        cells = choose_cells(mask, 3, name=sample.name, limit=limit)
        for (row, column), label in np.ndenumerate(mask):
            cell = row // 4, column // 4
            flat = cell[0] * cells.labels.shape[1] + cell[1]
            feature = features[cell].astype(np.float16)
            if label == 255:
                rule, expected = "ignored", -1
            elif cells.labels[cell] != label:
                rule, expected = "nearest", cheapest(feature, label, np.zeros(5))
            elif flat in cells.kept[label]:
                place = store.block(image, label).start + int(np.flatnonzero(cells.kept[label] == flat)[0])
                rule, expected = "clustered", clusters[label].labels[place] + [0, 3][label]
            else:
                rule, expected = "cheapest", cheapest(feature, label, PRICES)
            assert found[row, column] == expected, (sample.name, row, column, rule)
            rules.add(rule)
    assert rules == {"ignored", "nearest", "clustered"} | ({"cheapest"} if limit else set())


def test_maps_that_are_there_are_kept(tmp_path):
    model, dataset = colours_at_stride_4(), write_dataset(tmp_path / "data", MASKS)
    survey, store = extract_features(model, dataset, tmp_path, Clustering())
    subclasses = SubclassMap(
        dataset.classes, COUNTS, np.ones(5), CENTERS, np.ones(3), np.ones(3), np.zeros(3), PRICES
    )
    maps = SublabelMaps(dataset, survey, store, drawn_clusters(store), subclasses, Clustering(), tmp_path)
    maps.write(model)
    first, second = (sublabel_file(tmp_path, sample) for sample in dataset.labelled[:2])
    before = first.read_bytes()
    first.unlink()
    second.write_bytes(b"kept")
    maps.write(model)
    assert first.read_bytes() == before and second.read_bytes() == b"kept"
