"""Prediction by worker processes: each predicts chunks of the images and writes their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.chunks import ChunkAnswers, DaskPool, Work, chunk_size, cut, map_chunks
from usrn_keras.evaluation.prediction_jobs import Job, Rendering, predict_jobs, predictor_batch, rendering_of
from usrn_keras.evaluation.predictor import inference_of
from usrn_keras.evaluation.shared_model import describe_predictor, described_predictor
from usrn_keras.recipe.bands import parse_bands
from usrn_keras.runs import Run

TARGET = "usrn_keras.evaluation.predict_in_chunks:predict_chunk"
Paths = Sequence[str | None]  # fields of a job: workers read them before they load a backend


def predict_in_chunks(
    pool: DaskPool,
    run: Run,
    jobs: Sequence[Job],
    *,
    mode: str | None = None,
    max_side: int = 0,
    computed: Callable[[int], None],
) -> Iterator[str]:
    """`predict_jobs` by worker processes; the files are those of one process.

    The same call after an interruption skips the chunks whose files are as they were written.

    Args:
        pool: Worker processes, which see the same files.
        run: Complete run.
        jobs: Images, and the files to write.
        mode: `whole` or `slide`; None for that of the recipe.
        max_side: Longest side in which images are predicted; 0 for no limit.
        computed: Called with the number of images of each chunk that is done.

    Yields:
        For each job, "" when its files are written, or why its image cannot be read.

    Raises:
        StorageError: A file cannot be written.
        SchedulerError: The workers cannot be reached any more.
    """
    if not jobs:
        return
    options = inference_of(run.recipe, {"mode": mode})
    model = describe_predictor(run.model_path, options, predictor_batch(run.recipe, options))
    rendering = rendering_of(run, max_side=max_side)
    common = {
        "model": model,
        "palette": rendering.palette.tolist(),
        "value_range": rendering.value_range,
        "bands": run.recipe.data.bands,
        "workers": rendering.workers,
        "max_side": max_side,
    }
    items = [_paths(job) for job in jobs]
    work = Work(
        TARGET, common, cut(items, chunk_size(len(jobs))), key=common,
        files=lambda paths: [Path(paths[0])], valid=_as_written,
    )  # fmt: skip
    answers = ChunkAnswers.cached("predict", model["file"], *map(str, items[0]))
    for answer in map_chunks(pool, work, answers, keras.backend.backend(), computed=computed):
        yield from json.loads(answer)["problems"]
    answers.clear()


def predict_chunk(common: Mapping[str, Any], items: Sequence[Paths]) -> bytes:
    """Predict the images of a chunk and write their files, in a worker process.

    Args:
        common: Description of the model, and how images are read and predictions are coloured.
        items: Absolute paths of each job.

    Returns:
        JSON: `problems`, as `predict_jobs` yields them, and `files`, the size and time of each written file.
    """
    jobs = [Job(*(Path(path) if path else None for path in paths)) for paths in items]
    palette, bands = np.array(common["palette"], np.uint8), parse_bands(common["bands"])
    rendering = Rendering(palette, common["value_range"], bands, common["workers"], common["max_side"])
    problems = list(predict_jobs(described_predictor(common["model"]), jobs, rendering))
    pairs = zip(jobs, problems, strict=True)
    files = {str(path): _facts(path) for job, problem in pairs if not problem for path in job.targets}
    return json.dumps({"problems": problems, "files": files}).encode()


def _paths(job: Job) -> Paths:
    return [path and str(path.absolute()) for path in (job.image, job.labels, job.overlay, job.confidence)]


def _as_written(answer: bytes) -> bool:
    """Whether the files of a chunk have the size and time of change that they were written with."""
    files = json.loads(answer)["files"]
    return all(Path(path).exists() and _facts(Path(path)) == facts for path, facts in files.items())


def _facts(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
