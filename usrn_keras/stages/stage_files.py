"""The files that a stage leaves: those of a training stage are its whole state, and F alone."""

from __future__ import annotations

from pathlib import Path

import keras

from usrn_keras.files import atomic_path, collect_files
from usrn_keras.networks import Branch
from usrn_keras.networks.fine_tuning import without_adapters
from usrn_keras.optional import without_tensorflow
from usrn_keras.pseudo_masks.pseudo_mask_files import MASKS, SUBLABELS
from usrn_keras.runs import Run


def checkpoint_file(run: Run, folder: str) -> Path:
    """The checkpoint of a training stage: its whole state."""
    return run.stage(folder) / "checkpoint.npz"


def training_products(run: Run, folder: str) -> list[Path]:
    """The products of a training stage; the best weights are there only if they were kept."""
    models = run.model_folder(run.training_stages[folder].name)
    return [
        checkpoint_file(run, folder), *(models / name for name in ("model.keras", "best.keras", "best.json"))
    ]  # fmt: skip


def cluster_products(run: Run) -> list[Path]:
    """The products of the clustering stage: the subclasses, and the sublabel map of each labelled image."""
    folder = run.stage(run.cluster_stage)
    maps = collect_files(folder / "sublabels")
    return [folder / "subclasses.json", folder / "centers.npy", *maps]


def label_products(run: Run, folder: str) -> list[Path]:
    """The products of a labelling stage: the pseudo masks, and how many pixels were kept."""
    place = run.stage(folder)
    return [
        place / "labels.json", *(file for name in (MASKS, SUBLABELS) for file in collect_files(place / name))
    ]  # fmt: skip


def evaluation_products(run: Run) -> list[Path]:
    """The products of the evaluation: the scores, what they were kept for, and the report."""
    stages = [run.stage(folder) for folder in run.training_stages]
    kept = [folder / name for folder in stages for name in ("scores.json", "small_maps.npz")]
    report = [run.path / "report" / name for name in ("image_scores.csv", "index.html")]
    return [run.evaluation_file, *kept, *report]


def save_segmenter(branch: Branch, path: Path) -> None:
    """Write F alone as a `.keras` file, atomically."""
    with atomic_path(path) as temporary, without_tensorflow():
        keras.saving.save_model(without_adapters(branch.segmenter()), temporary)
