"""The last stage: Baseline and USRN on whole images, side by side."""

from __future__ import annotations

from typing import Any

import keras

from usrn_keras.data import Dataset
from usrn_keras.errors import DataError
from usrn_keras.evaluation import evaluate
from usrn_keras.files import read_json, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import Progress
from usrn_keras.runs import SUBCLASSES, Run


def measure(run: Run, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Write and return `evaluation.json`; measured already, it is read."""
    file, split = run.path / "evaluation.json", run.recipe.evaluation.split
    if file.exists() and (known := read_json(file))["split"] == split:
        return known
    samples = getattr(dataset, split)
    if not samples:
        raise DataError(f"the data set {dataset.name} has no {split} images", hint="Set evaluation.split.")
    results = {
        "run": str(run.path),
        "split": split,
        "images": len(samples),
        "fingerprint": dataset.fingerprint(),
        "backend": keras.backend.backend(),
        "class_balance_rate": run.facts(SUBCLASSES)["class_balance_rate"],
        "subclasses": run.facts(SUBCLASSES)["subclasses"],
        "scores": [_scores(run, model, samples, dataset, progress) for model in ("baseline", "usrn")],
    }
    write_json(file, results)
    return results


def _scores(run: Run, model: str, samples: Any, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    segmenter = load_segmenter(run.model_file(model))
    options = {"batch": run.recipe.evaluation.batch, "workers": run.recipe.data.workers}
    name = {"baseline": "Baseline", "usrn": "USRN"}[model]
    return evaluate(segmenter, samples, dataset, name=name, progress=progress, **options).to_json()
