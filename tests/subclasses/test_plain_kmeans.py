from __future__ import annotations

import numpy as np
import pytest

from tests.subclasses.made_dataset import (
    SIZES,
    Recorder,
    colours_at_stride_4,
    contents,
    masks_of,
    write_dataset,
)
from usrn_keras.subclasses import Clustering, class_balance_rate, make_subclasses, plain_sizes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Model, data set, folder, clustering and subclasses, the features kept."""
    folder = tmp_path_factory.mktemp("made")
    model, dataset = colours_at_stride_4(), write_dataset(folder / "data", masks_of(*SIZES))
    arguments = model, dataset, folder / "out", Clustering()
    return *arguments, make_subclasses(*arguments, keep_features=True)


def test_sizes_of_plain_k_means(made, tmp_path):
    """As many clusters and rows of each class, less balanced; nothing but the store changes."""
    model, dataset, folder, clustering, subclasses = made
    before, progress = contents(folder), Recorder()
    sizes = plain_sizes(*made, progress=progress)
    assert "features" not in progress.tasks
    assert sizes.dtype == np.int64 and len(sizes) == subclasses.total
    for class_id in range(2):
        own = subclasses.of_class(class_id)
        assert sizes[own].sum() == subclasses.feature_pixels[class_id]
    assert class_balance_rate(sizes) < class_balance_rate(subclasses.sizes)
    assert {name: text for name, text in contents(folder).items() if name in before} == before
    extracted = plain_sizes(model, dataset, tmp_path, clustering, subclasses)  # the store is not there
    np.testing.assert_array_equal(extracted, sizes)
    assert (tmp_path / "features/index.jsonl").exists()


def test_of_plain_subclasses_themselves(made, tmp_path):
    model, dataset, _, _, _ = made
    clustering = Clustering(assignment="free")
    subclasses = make_subclasses(model, dataset, tmp_path, clustering, keep_features=True)
    np.testing.assert_array_equal(
        plain_sizes(model, dataset, tmp_path, clustering, subclasses), subclasses.sizes
    )
