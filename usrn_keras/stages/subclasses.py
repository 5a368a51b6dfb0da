"""The stages up to the subclasses alone, with a report of the clusters in figures and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.chunks import DaskPool
from usrn_keras.data import Dataset
from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path
from usrn_keras.methods import METHODS
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.stage_plan import Cluster
from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.engine_table import EngineComparison
from usrn_keras.report.montage import montage_png
from usrn_keras.report.size_chart import size_chart_png
from usrn_keras.runs import Run
from usrn_keras.stages.cluster import cluster, cluster_report, measure_engines, measure_plain
from usrn_keras.stages.preflight import require_constrained_kmeans, validate_clustering
from usrn_keras.stages.session import complete_stages, session
from usrn_keras.stages.train import train
from usrn_keras.subclasses import SubclassMap, remove_features, sublabel_file


@dataclass(frozen=True)
class Clustered:
    """A run whose subclasses are complete.

    Attributes:
        run: Its folder.
        report: The figures.
        pictures: Files in `report/`: `class_sizes`, the chart, and `montage`, patches of one class.
        engines: Comparison of the clustering engines; None if it was not asked for.
    """

    run: Path
    report: ClusterReport
    pictures: dict[str, Path]
    engines: EngineComparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Figures and paths as JSON values."""
        pictures = {name: str(path) for name, path in self.pictures.items()}
        compared = {} if self.engines is None else {"comparison": self.engines.to_json()}
        return {"run": str(self.run), **self.report.to_json(), **compared, "pictures": pictures}


def cluster_run(
    recipe: Recipe,
    run_dir: Path | str,
    *,
    plain: bool = True,
    compare: bool = False,
    montage: str | None = None,
    pool: DaskPool | None = None,
    progress: Progress = SILENT,
    log: Callable[[str], None] = lambda text: None,
) -> Clustered:
    """Run the stages of a recipe up to its subclasses, where they are not complete in `run_dir`.

    `fit` with the same recipe and folder resumes from there.

    Args:
        recipe: What to do.
        run_dir: Folder of the run; made if it does not exist.
        plain: Whether to measure what plain k-means would have given, unless it was measured before.
        compare: Whether to cluster every class with each engine, unless it was measured before.
        montage: Class to show patches of; by default the one with the most subclasses.
        pool: Worker processes that compute the features; None: this process.
        progress: Shows how far each stage is.
        log: Receives one line at a time.

    Raises:
        USRNError: See `usrn_keras.errors`.
    """
    with session(recipe, run_dir, log) as (run, dataset):
        validate_clustering(run, dataset)
        if compare:
            require_constrained_kmeans()
        stages = _stages_to_clusters(run, dataset, progress, log, keep_features=plain or compare, pool=pool)
        complete_stages(run, stages, dataset, log)
        if plain:
            measure_plain(run, dataset, progress, log, pool=pool)
        engines = measure_engines(run, dataset, progress, log, pool=pool) if compare else None
        remove_features(run.stage(run.cluster_stage))  # kept for plain k-means, maybe by an interrupted call
        report = cluster_report(run)
        pictures = {
            "class_sizes": _chart(run, report),
            "montage": _montage(run, dataset, report.subclasses, montage, progress),
        }
        return Clustered(Path(run_dir), report, pictures, engines)


def _stages_to_clusters(
    run: Run,
    dataset: Dataset,
    progress: Progress,
    log: Callable[[str], None],
    *,
    keep_features: bool,
    pool: DaskPool | None,
) -> dict[str, Callable[[], None]]:
    """What completes the stages of a run up to its subclasses."""
    if not run.cluster_stage:
        names = [name for name, method in METHODS.items() if method.needs_subclasses]
        raise RunError(
            f"training.method = {run.recipe.training.method!r} has no subclasses",
            hint=f"Methods with subclasses: {', '.join(names)}. Choose one: --set training.method=METHOD",
        )
    work: dict[str, Callable[[], None]] = {}
    for folder, stage in run.plan.items():
        if isinstance(stage, Cluster):
            options = {"keep_features": keep_features, "pool": pool}
            work[folder] = partial(cluster, run, dataset, progress, log, **options)
            break
        work[folder] = partial(train, run, folder, dataset, progress)
    return work


def _chart(run: Run, report: ClusterReport) -> Path:
    path = run.path / "report" / "class_sizes.png"
    with atomic_path(path) as temporary:
        temporary.write_bytes(size_chart_png(report, run.palette))
    return path


def _montage(
    run: Run, dataset: Dataset, subclasses: SubclassMap, name: str | None, progress: Progress
) -> Path:
    class_id = int(np.argmax(subclasses.counts)) if name is None else dataset.classes.index(name)
    if subclasses.counts[class_id] == 0:
        present = [other for other, n in zip(dataset.classes, subclasses.counts, strict=True) if n]
        raise RunError(
            f"class {name!r} has no pixel in the labelled images, so it has no subclass to show",
            hint=f"Classes with subclasses: {', '.join(present)}",
        )
    folder = run.stage(run.cluster_stage)
    samples = [replace(sample, sublabels=sublabel_file(folder, sample)) for sample in dataset.labelled]
    path = run.path / "report" / f"subclasses_{_file_name(dataset.classes[class_id])}.png"
    with atomic_path(path) as temporary:
        temporary.write_bytes(montage_png(samples, subclasses, class_id, progress=progress))
    return path


def _file_name(class_name: str) -> str:
    """A class name such as `traffic light` or `car/van` as part of a file name."""
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in class_name)
