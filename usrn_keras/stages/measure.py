"""The last stage: Baseline and USRN on whole images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from usrn_keras.data import Dataset, Sample, read_sample
from usrn_keras.errors import DataError
from usrn_keras.evaluation import evaluate
from usrn_keras.files import atomic_path, read_json, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.prediction import segment
from usrn_keras.progress import Progress
from usrn_keras.report.pictures import comparison_png
from usrn_keras.runs import SUBCLASSES, Run

MODELS = {"baseline": "Baseline", "usrn": "USRN"}
PICTURED = 4  # images in report/comparison.png


def measure(run: Run, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Write `report/comparison.png`, write and return `evaluation.json`; measured already, it is read."""
    file, split = run.path / "evaluation.json", run.recipe.evaluation.split
    if file.exists() and (known := read_json(file))["split"] == split:
        return known
    samples = getattr(dataset, split)
    if not samples:
        raise DataError(f"the data set {dataset.name} has no {split} images", hint="Set evaluation.split.")
    segmenters = {model: load_segmenter(run.model_file(model)) for model in MODELS}
    options = {"batch": run.recipe.evaluation.batch, "workers": run.recipe.data.workers}
    scores = [
        evaluate(segmenter, samples, dataset, name=MODELS[model], progress=progress, **options).to_json()
        for model, segmenter in segmenters.items()
    ]
    _picture(run, samples[:: max(1, len(samples) // PICTURED)][:PICTURED], dataset, segmenters)
    results = {
        "run": str(run.path),
        "split": split,
        "images": len(samples),
        "fingerprint": dataset.fingerprint(),
        "backend": keras.backend.backend(),
        "class_balance_rate": run.facts(SUBCLASSES)["class_balance_rate"],
        "subclasses": run.facts(SUBCLASSES)["subclasses"],
        "scores": scores,
    }
    write_json(file, results)
    return results


def _picture(
    run: Run, samples: Sequence[Sample], dataset: Dataset, segmenters: dict[str, keras.Model]
) -> None:
    """A few images, spread evenly over the list: label, Baseline and USRN beside each."""
    rows = []
    for sample in samples:
        image, mask = read_sample(sample, dataset)
        rows.append((image, [mask, *(segment(model, image) for model in segmenters.values())]))
    with atomic_path(run.path / "report" / "comparison.png") as temporary:
        temporary.write_bytes(comparison_png(rows, run.palette, ["image", "label", *MODELS.values()]))
