"""The clustering stage: subclasses of equal size from the features of a trained model."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.chunks import DaskPool
from usrn_keras.data import Dataset
from usrn_keras.files import read_json, write_json
from usrn_keras.progress import Progress
from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.engine_table import EngineComparison
from usrn_keras.runs import Run
from usrn_keras.stages.feature_chunks import clustering_of, feature_model, remote_features
from usrn_keras.stages.stage_files import cluster_products
from usrn_keras.subclasses import SubclassMap, class_balance_rate, make_subclasses, plain_sizes
from usrn_keras.subclasses.compare_engines import compare_engines, complete_results
from usrn_keras.subclasses.extract_features import FEATURES, extract_features


def cluster(
    run: Run,
    dataset: Dataset,
    progress: Progress,
    log: Callable[[str], None],
    *,
    keep_features: bool = False,
    pool: DaskPool | None = None,
) -> None:
    """Write `2-subclasses/`: the subclasses, their centres and the sublabel maps.

    Args:
        run: The run.
        dataset: The data set.
        progress: Shows the progress.
        log: Receives one line at a time.
        keep_features: Whether to keep the features, for `measure_plain`.
        pool: Worker processes that compute the features; None: this process.
    """
    folder, started = run.stage(run.cluster_stage), time.monotonic()
    resumed = (folder / FEATURES).exists()
    for file in (plain_file(run), engines_file(run)):  # of earlier subclasses
        file.unlink(missing_ok=True)
    model = feature_model(run, dataset)
    subclasses = make_subclasses(
        model, dataset, folder, clustering_of(run), workers=run.recipe.data.workers,
        remote=remote_features(pool, run, dataset), keep_features=keep_features, progress=progress, warn=log,
    )  # fmt: skip
    before = class_balance_rate(subclasses.pixels)
    after = class_balance_rate(subclasses.in_label_pixels(subclasses.sizes))
    run.complete(
        run.cluster_stage,
        cluster_products(run),
        subclasses=subclasses.total,
        counts=dict(zip(dataset.classes, subclasses.counts.tolist(), strict=True)),
        class_balance_rate={"classes": round(before, 4), "subclasses": round(after, 4)},
        seconds=round(time.monotonic() - started, 3),
        resumed=resumed,
    )
    log(
        f"{subclasses.total} subclasses of {len(dataset.classes)} classes; class balance rate "
        f"{before:.1%} -> {after:.1%}"
    )


def measure_plain(
    run: Run,
    dataset: Dataset,
    progress: Progress,
    log: Callable[[str], None],
    *,
    pool: DaskPool | None = None,
) -> None:
    """Write `2-subclasses/plain.json`, the sizes that plain k-means gives, unless it is there already."""
    if clustering_of(run).algorithm == "free" or plain_file(run).exists():
        return  # free: the subclasses are plain k-means themselves
    folder, started = run.stage(run.cluster_stage), time.monotonic()
    if not (folder / FEATURES).exists():
        log("plain k-means was not measured with the subclasses: features are extracted again for it")
    model, subclasses = feature_model(run, dataset), SubclassMap.load(folder)
    sizes = plain_sizes(
        model, dataset, folder, clustering_of(run), subclasses,
        workers=run.recipe.data.workers, remote=remote_features(pool, run, dataset), progress=progress,
    )  # fmt: skip
    seconds = round(time.monotonic() - started, 3)
    write_json(plain_file(run), {"sizes": sizes.tolist(), "seconds": seconds})


def measure_engines(
    run: Run,
    dataset: Dataset,
    progress: Progress,
    log: Callable[[str], None],
    *,
    pool: DaskPool | None = None,
) -> EngineComparison:
    """Cluster every class with each engine; what `2-subclasses/engines.json` has is not measured again."""
    folder = run.stage(run.cluster_stage)
    subclasses, clustering = SubclassMap.load(folder), clustering_of(run)
    results = complete_results(engines_file(run), subclasses.counts, clustering)
    if results is None:
        if not (folder / FEATURES).exists():
            log("engines were not compared with the subclasses: features are extracted again for it")
        _, store = extract_features(
            feature_model(run, dataset), dataset, folder, clustering,
            workers=run.recipe.data.workers, remote=remote_features(pool, run, dataset), progress=progress,
        )  # fmt: skip
        results = compare_engines(store, subclasses.counts, clustering, engines_file(run), progress=progress)
    return EngineComparison(subclasses, results)


def cluster_report(run: Run) -> ClusterReport:
    """The figures of a run whose subclasses are complete."""
    facts = run.facts(run.cluster_stage, "seconds", "resumed")
    plain = read_json(plain_file(run), _plain_sizes) if plain_file(run).exists() else None
    return ClusterReport(
        SubclassMap.load(run.stage(run.cluster_stage)),
        assignment=clustering_of(run).algorithm,
        plain=plain,
        seconds=facts["seconds"],
        resumed=facts["resumed"],
    )


def plain_file(run: Run) -> Path:
    """Where the sizes of plain k-means are kept."""
    return run.stage(run.cluster_stage) / "plain.json"


def engines_file(run: Run) -> Path:
    """Where the measurements of `measure_engines` are kept."""
    return run.stage(run.cluster_stage) / "engines.json"


def _plain_sizes(value: dict[str, Any]) -> np.ndarray:
    return np.array(value["sizes"], np.int64)
