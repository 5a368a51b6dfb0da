"""What plain k-means would have given: the comparison of the paper's Table 4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.class_clusters import cluster_classes
from usrn_keras.subclasses.extract import stored_features
from usrn_keras.subclasses.options import Clustering
from usrn_keras.subclasses.subclass_map import SubclassMap

if TYPE_CHECKING:
    import keras


def plain_sizes(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    subclasses: SubclassMap,
    *,
    workers: int = 2,
    progress: Progress = SILENT,
) -> np.ndarray:
    """Sizes of the clusters that plain k-means gives with the same counts and features.

    Takes the features that `make_subclasses(..., keep_features=True)` left, or extracts them again;
    either way they stay until `remove_features(folder)`. Classes that an interrupted call has
    clustered are taken up.

    Args:
        model: Images to decoder features (`Branch.feature_model`).
        dataset: Its labelled images.
        folder: That of `make_subclasses`.
        clustering: That of `make_subclasses`.
        subclasses: What `make_subclasses` gave.
        workers: Threads that read images.
        progress: Counts masks, images and rows.

    Returns:
        `(K,)` int64 feature pixels of each cluster, class by class.

    Raises:
        USRNError: Those of `make_subclasses`.
    """
    _, store = stored_features(model, dataset, folder, clustering, workers=workers, progress=progress)
    plain = replace(clustering, assignment="free")
    clusters = cluster_classes(store, subclasses.counts, plain, progress=progress)
    return np.concatenate([found.sizes for found in clusters])
