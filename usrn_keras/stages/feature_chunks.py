"""The features of the clustering stage by worker processes, chunk by chunk."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.chunks import ChunkAnswers, DaskPool, Work, map_chunks
from usrn_keras.data import Dataset
from usrn_keras.errors import RunError
from usrn_keras.runs import Run, open_run
from usrn_keras.stages.train import trained_method
from usrn_keras.subclasses import Clustering
from usrn_keras.subclasses.extract_features import (
    Blocks,
    RemoteBlocks,
    SizedSample,
    feature_blocks,
    weights_digest,
)
from usrn_keras.subclasses.feature_grid import half_precision

TARGET = "usrn_keras.stages.feature_chunks:feature_chunk"
ANSWERS = "feature-chunks"  # folder in the folder of the stage, until all features are in the store
_loaded: dict[tuple[str, str], tuple[Run, keras.Model]] = {}  # in a worker process, by folder and hash


def clustering_of(run: Run) -> Clustering:
    """The options of the clustering of a run."""
    return Clustering(**run.recipe.subclasses.model_dump())


def feature_model(run: Run, dataset: Dataset) -> keras.Model:
    """The network from images to the features that a run clusters."""
    return trained_method(run, run.plan[run.cluster_stage].model, dataset).inference_network.feature_model()


def remote_features(pool: DaskPool | None, run: Run, dataset: Dataset) -> RemoteBlocks | None:
    """The function that lets worker processes compute the features of a run.

    Args:
        pool: Worker processes; None: there are none, and the result is None.
        run: The run, whose folder the workers see, too.
        dataset: The data set.
    """
    if pool is None:
        return None
    meaning = replace(
        dataset, labelled=(), unlabelled=(), val=(), test=()
    )  # how masks are read, without lists

    def compute(chunks: Sequence[Sequence[SizedSample]], digest: str) -> Iterator[Blocks]:
        clustering = clustering_of(run)
        common = {"run": str(run.path.absolute()), "hash": digest, "dataset": meaning}
        key = [digest, clustering.rows_per_image, clustering.seed, clustering.batch]
        work = Work(TARGET, common, chunks, key, files=lambda one: [one[0].image, one[0].mask])
        answers = ChunkAnswers(run.stage(run.cluster_stage) / ANSWERS)
        for answer in map_chunks(pool, work, answers, keras.backend.backend(), keep=False):
            yield _blocks(answer)
        answers.clear()

    return compute


def feature_chunk(common: Mapping[str, Any], listed: Sequence[SizedSample]) -> bytes:
    """Compute the rows of the features of a chunk, in a worker process.

    Args:
        common: Folder of the `run`, `hash` of its network, and the `dataset` without lists.
        listed: Images with their sizes.

    Returns:
        A file of arrays: `rows` (rows, channels) float16, image by image and in each file by file of the
        store, and their `counts` (images, files).

    Raises:
        RunError: The network has other weights here.
    """
    dataset = common["dataset"]
    run, model = _shared_model(common["run"], common["hash"], dataset)
    batches = feature_blocks(model, listed, dataset, clustering_of(run), run.recipe.data.workers)
    blocks = [block for batch in batches for image in batch for block in image]
    counts = np.array([len(block) for block in blocks], np.int64).reshape(len(listed), -1)
    file = io.BytesIO()
    np.savez(file, rows=np.concatenate(blocks), counts=counts)
    return file.getvalue()


def _blocks(answer: bytes) -> Blocks:
    with np.load(io.BytesIO(answer)) as arrays:
        rows, counts = arrays["rows"], arrays["counts"]
    parts = iter(np.split(rows, np.cumsum(counts)[:-1]))
    return [[next(parts) for _ in image] for image in counts]


def _shared_model(folder: str, digest: str, dataset: Dataset) -> tuple[Run, keras.Model]:
    """The run and its network; those of the chunk before, where they are the same."""
    if (folder, digest) in _loaded:
        return _loaded[folder, digest]
    run = open_run(Path(folder))
    model = feature_model(run, dataset)
    if weights_digest(model) != digest:
        raise RunError(
            f"{folder} has other weights where a worker process runs",
            hint="Workers must see the same files under the same paths, such as those of a network drive.",
        )
    _loaded.clear()
    _loaded[folder, digest] = run, half_precision(model)
    return _loaded[folder, digest]
