"""Choose the unlabelled images to label next: uncertain about rare classes, and different from each other."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data import Sample, as_rgb, load_dataset, read_mask, read_sample_image
from usrn_keras.data.dataset import Dataset
from usrn_keras.errors import DataError, RunError
from usrn_keras.evaluation.prediction_jobs import run_predictor
from usrn_keras.evaluation.uncertainty import ImageUncertainty, class_weights, impurity, measure_uncertainty
from usrn_keras.progress import SILENT, Progress
from usrn_keras.report.comparison import validate_same_classes
from usrn_keras.report.picture_sheets import rows_png
from usrn_keras.report.pictures import coloured, faded
from usrn_keras.runs import Run, open_run

CANDIDATES = 5  # per chosen image: the most uncertain ones, among which different ones are chosen
SHEET_ROWS = 40  # of the contact sheet


@dataclass(frozen=True, eq=False)
class NextImages:
    """Images to label next.

    Args:
        samples: Chosen images, the most useful first.
        uncertainties: Uncertainty of each chosen image.
        ranked: Number of images they were chosen from.
        models: Names of the models that predicted.
        classes: Class names.
    """

    samples: tuple[Sample, ...]
    uncertainties: tuple[ImageUncertainty, ...]
    ranked: int
    models: tuple[str, ...]
    classes: tuple[str, ...]

    def names_text(self) -> str:
        """The names, one per line, as `usrn labels export --only` reads them."""
        return "".join(f"{sample.name}\n" for sample in self.samples)

    def csv_text(self) -> str:
        """A table of rank, name, image, score, disagreement, and the part of each class in the score."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["rank", "name", "image", "score", "disagreement", *self.classes])
        for rank, (sample, found) in enumerate(zip(self.samples, self.uncertainties, strict=True), 1):
            numbers = [found.score, found.disagreement, *found.of_class.tolist()]
            writer.writerow([rank, sample.name, sample.image, *(f"{number:.6f}" for number in numbers)])
        return text.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Convert the choice to JSON values."""
        return {
            "ranked": self.ranked,
            "models": list(self.models),
            "images": [
                {
                    "name": sample.name,
                    "image": str(sample.image),
                    "score": found.score,
                    "disagreement": found.disagreement,
                }
                for sample, found in zip(self.samples, self.uncertainties, strict=True)
            ],
        }


class Models:
    """The models of one or more runs, which predict the same image.

    Args:
        run_dirs: Run folders with the same classes. The first and the final model of a single run predict,
            and the final models of several.

    Raises:
        RunError: A run is not complete, or the classes differ.
    """

    def __init__(self, run_dirs: Sequence[Path]):
        self.runs = [open_run(path) for path in run_dirs]
        validate_same_classes([(str(run.path), run.classes) for run in self.runs])
        files = self._files()
        self.names = tuple(files)
        self._predictors = [run_predictor(run, path) for run, path in files.values()]

    def _files(self) -> dict[str, tuple[Run, Path]]:
        if len(self.runs) > 1:
            return {str(run.path): (run, run.model_path) for run in self.runs}
        (run,) = self.runs
        checkpoint = run.recipe.evaluation.checkpoint
        kept = checkpoint if all(map(run.has_best, run.compared_models)) else "last"
        return {
            name: (run, run.model_path if name == run.models[-1] else run.model_file(name, kept))
            for name in run.compared_models
        }

    def predict(self, image: np.ndarray) -> list[np.ndarray]:
        """Probabilities of each model, `(height, width, classes)` float32."""
        return [predictor.probabilities(image) for predictor in self._predictors]


def suggest_images(
    run_dirs: Sequence[Path | str], count: int, *, seed: int = 0, progress: Progress = SILENT
) -> tuple[NextImages, bytes]:
    """Choose unlabelled images of the data set of a run to label next, and draw a contact sheet of them.

    The images are ranked by the class-weighted impurity of the mean prediction; of the most uncertain ones,
    `CANDIDATES` for each wanted image, those that differ in content and colours are chosen: their pooled
    features are clustered into groups of equal size, and the most uncertain image of each group is taken.

    Args:
        run_dirs: Folders of complete runs with the same classes; the data set is that of the first.
        count: Number of images to choose.
        seed: Seed of the clustering.
        progress: Progress display, which counts images.

    Returns:
        The images, and the contact sheet as a PNG file.

    Raises:
        DataError: There are fewer unlabelled images than `count`, or images cannot be read.
        RunError: A run is not complete, or the classes differ.

    Example:

    >>> suggest_images(["runs/first"], 20)[0].names_text()   # doctest: +SKIP
    'street/0041\\nstreet/0007\\n...'
    """
    models = Models([Path(path) for path in run_dirs])
    dataset = load_dataset(models.runs[0].recipe.data)
    if dataset.classes != models.runs[0].classes:
        raise RunError(
            f"the classes of the data set of {models.runs[0].path} have changed since its training"
        )
    if count > len(dataset.unlabelled):
        raise DataError(
            f"--count {count}: the data set has {len(dataset.unlabelled)} unlabelled images",
            hint="Choose a smaller number.",
        )
    weights = class_weights(labelled_pixels(dataset, progress))
    found = measure_images(models, dataset.unlabelled, weights, progress)
    chosen = choose_different(found, count, seed=seed)
    samples = tuple(dataset.unlabelled[index] for index in chosen)
    suggestion = NextImages(
        samples, tuple(found[index] for index in chosen), len(found), models.names, tuple(dataset.classes)
    )
    return suggestion, _sheet(models, suggestion, weights, dataset.palette)


def labelled_pixels(dataset: Dataset, progress: Progress = SILENT) -> np.ndarray:
    """Count the labelled pixels of each class, `(classes,)` int64."""
    pixels = np.zeros(len(dataset.classes), np.int64)
    with progress.task("masks", total=len(dataset.labelled)) as task:
        for sample in dataset.labelled:
            labels = read_mask(sample.mask, dataset)
            pixels += np.bincount(labels.ravel(), minlength=len(pixels))[: len(pixels)]
            task.advance()
    return pixels


def choose_different(found: Sequence[ImageUncertainty], count: int, *, seed: int = 0) -> list[int]:
    """Choose uncertain images that differ, the most uncertain first.

    Args:
        found: Uncertainty of each image.
        count: Number of images to choose, at most that of `found`.
        seed: Seed of the clustering.

    Returns:
        Indices in `found`.
    """
    order = sorted(range(len(found)), key=lambda index: -found[index].score)
    candidates = order[: CANDIDATES * count]
    if len(candidates) == count:
        return candidates
    features = np.stack([found[index].features for index in candidates])
    from usrn_keras.clustering import BalancedKMeans  # with scikit-learn and numba: 200 MB

    groups = BalancedKMeans(count, random_state=seed).fit(features).labels_
    first: Mapping[int, int] = {}
    for index, group in zip(candidates, groups.tolist(), strict=True):
        first.setdefault(group, index)
    return sorted(first.values(), key=lambda index: -found[index].score)


def measure_images(
    models: Models, samples: Sequence[Sample], weights: np.ndarray, progress: Progress = SILENT
) -> list[ImageUncertainty]:
    """Measure how uncertain models are about each image.

    Args:
        models: The models.
        samples: The images.
        weights: Weight of each class, `(classes,)`, see `class_weights`.
        progress: Progress display, which counts images.
    """
    found = []
    with progress.task("unlabelled images", total=len(samples)) as task:
        for sample in samples:
            image = read_sample_image(sample)
            found.append(measure_uncertainty(image, models.predict(image), weights))
            task.advance()
    return found


def _sheet(models: Models, suggestion: NextImages, weights: np.ndarray, palette: np.ndarray) -> bytes:
    rows, shown = [], set()
    for rank, (sample, found) in enumerate(
        zip(suggestion.samples[:SHEET_ROWS], suggestion.uncertainties, strict=False), 1
    ):
        image = read_sample_image(sample)
        predictions = models.predict(image)
        total, _ = impurity(predictions, weights)
        ids = sum(predictions).argmax(axis=-1)
        shown |= set(np.unique(ids).tolist())
        main = suggestion.classes[int(found.of_class.argmax())]
        heading = f"{rank}. {sample.name}    score {found.score:.3f}    most about {main}"
        shot = as_rgb(image, sample.bands)
        rows.append((heading, [shot, coloured(ids, palette), heat_map(shot, total.sum(axis=-1))]))
    columns = ("image", "mean prediction", "uncertain pixels (red)")
    title = f"{len(suggestion.samples)} of {suggestion.ranked} unlabelled images to label next"
    return rows_png(columns, rows, suggestion.classes, palette, shown=shown, title=title)


def heat_map(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The image in pale grey, yellow to red where values are high, `(height, width, 3)` uint8.

    Args:
        image: `(height, width, 3)` uint8 RGB.
        values: `(height, width)`, 0 or more.
    """
    share = np.clip(values / max(float(values.max()), 1e-9), 0, 1)[..., None]
    hot = np.concatenate([np.full_like(share, 255), 220 * (1 - share), np.zeros_like(share)], axis=-1)
    return ((1 - share) * faded(image) + share * hot).round().astype(np.uint8)
