"""Measure what an export costs: mIoU, size and time of the exported model and of smaller copies of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from usrn_keras.data import Dataset, Sample, load_dataset, read_sample_image
from usrn_keras.data.batches.padding import neutral_colour, pad_image
from usrn_keras.errors import ExportError, USRNError
from usrn_keras.evaluation.evaluate import evaluate_with, samples_of
from usrn_keras.evaluation.predictor import WHOLE, Predictor, inference_of
from usrn_keras.export.conversion import explained, quiet
from usrn_keras.export.formats import find_format
from usrn_keras.export.run_export import ExportReport, size_of
from usrn_keras.export.score_table import CheckedModel, ScoreCheck
from usrn_keras.export.smaller_onnx import first_line, write_float16, write_int8
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe, load_recipe
from usrn_keras.report.comparison import validate_same_classes
from usrn_keras.runs import open_run

CALIBRATION_IMAGES = 32
SPLITS = ("val", "test")

Ids = Callable[[np.ndarray], np.ndarray]
Size = tuple[int, int] | None


@dataclass(frozen=True)
class CheckImages:
    """The images that models are scored on, and those that calibrate int8.

    Attributes:
        dataset: Data set; its labelled images calibrate.
        split: `val` or `test`.
        samples: Images of the split.
        workers: Number of threads that read images.
    """

    dataset: Dataset
    split: str
    samples: tuple[Sample, ...]
    workers: int

    @classmethod
    def of(cls, run_dir: Path | str, data: str) -> CheckImages:
        """Load the images that `--check DATA` names.

        Args:
            run_dir: Path of the run folder.
            data: `val` or `test` of the run's data set, or the path or name of a recipe, whose val images are
                taken.

        Raises:
            RecipeError: There is no such recipe.
            RunError: The run is not complete, or the data set has other classes.
            DataError: The data set cannot be read or has no images in the split.
        """
        run, split = open_run(run_dir), data if data in SPLITS else "val"
        recipe = run.recipe if data in SPLITS else load_recipe(data)
        dataset = load_dataset(recipe.data)
        validate_same_classes([(str(run_dir), run.classes), (dataset.name, dataset.classes)])
        samples = samples_of(dataset, split, f"--check {data}")
        return cls(dataset, split, samples, recipe.data.workers)


def check_scores(
    run_dir: Path | str, report: ExportReport, images: CheckImages, *, input_size: Size = None,
    progress: Progress = SILENT,
) -> ScoreCheck:  # fmt: skip
    """Measure the exported model of a run, and for ONNX its float16 and int8 copies, against the Keras model.

    Every model predicts whole images, one at a time. The copies are written beside the exported file, as
    `NAME.float16.onnx` and `NAME.int8.onnx`; up to 32 labelled images calibrate the int8 copy.

    Args:
        run_dir: Path of the run folder.
        report: Report of `export_run` for this run.
        images: Images of the measurement.
        input_size: Fixed height and width of the exported model; None if they are dynamic.
        progress: Progress, which counts images.

    Raises:
        DataError: An image cannot be read.
        ExportError: The exported model does not run, or an image is larger than its fixed size.
    """
    run = open_run(run_dir)

    def measure(name: str, path: Path, ids: Ids, note: str = "") -> CheckedModel:
        timed = TimedPredictor(ids)
        result = evaluate_with(
            timed, images.samples, images.dataset,
            name=name, workers=images.workers, boundary=False, progress=progress, check_memory=False,
        )  # fmt: skip
        miou = float(result.scores.miou)
        return CheckedModel(name, str(path), miou, size_of(path), timed.milliseconds, note)

    segmenter = load_segmenter(run.model_path, float32=True)
    models = [measure("keras", run.model_path, Predictor(segmenter).ids, keras.backend.backend())]
    target, path = find_format(report.format), Path(report.path)

    def exported(name: str, path: Path, note: str = "") -> CheckedModel:
        with explained(f"the exported {name} model does not run", input_size), quiet():
            return measure(name, path, exported_ids(target.run(path), input_size), note)

    models.append(exported(report.format, path))
    notes = _notes(run.recipe, report.format)
    if report.format == "onnx":

        def calibrating() -> Iterator[np.ndarray]:
            return calibration_images(images.dataset.labelled, input_size)

        copies = {
            "float16": lambda copy: write_float16(path, copy),
            "int8": lambda copy: write_int8(path, copy, calibrating),
        }
        for kind, write in copies.items():
            name, copy = f"onnx {kind}", path.with_suffix(f".{kind}.onnx")
            progress.log(f"{name}: {copy}")
            try:
                with quiet():
                    note = write(copy)
                models.append(exported(name, copy, note))
            except ExportError as error:
                models.append(_failed(name, copy, error.errors[0] if error.errors else str(error)))
            except (USRNError, OSError, MemoryError):
                raise
            except Exception as error:  # converters raise anything; the row says why it is empty
                models.append(_failed(name, copy, first_line(error)))
    return ScoreCheck(images.dataset.name, images.split, len(images.samples), tuple(models), tuple(notes))


class TimedPredictor:
    """Predict one whole image at a time, and measure the time of each.

    Args:
        ids: Function from an image `(height, width, bands)` uint8 to class ids `(height, width)`.

    Attributes:
        milliseconds: Median time of an image. The first image of each size is left out if there are others,
            because JAX and TensorFlow compile for it.
    """

    options = WHOLE
    batch = 1

    def __init__(self, ids: Ids):
        self._ids = ids
        self._first: dict[tuple[int, ...], float] = {}
        self._others: list[float] = []

    def ids_of(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Class ids `(height, width)` of each image."""
        return [self._timed(image) for image in images]

    @property
    def milliseconds(self) -> float:
        return 1000 * float(np.median(self._others or [*self._first.values()]))

    def _timed(self, image: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        found = self._ids(image)
        seconds = time.perf_counter() - start
        if pad_image(image).shape in self._first:
            self._others.append(seconds)
        else:
            self._first[pad_image(image).shape] = seconds
        return found


def exported_ids(run: Callable[[np.ndarray], np.ndarray], input_size: Size) -> Ids:
    """The function from an image to class ids of an exported model.

    Args:
        run: Function from images `(1, height, width, bands)` float32 to logits.
        input_size: Fixed height and width of the model; None if they are dynamic.
    """

    def ids(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        logits = run(network_input(image, input_size))
        return logits[0, :height, :width].argmax(axis=-1)

    return ids


def network_input(image: np.ndarray, input_size: Size) -> np.ndarray:
    """Pad an image for an exported model: `(1, height, width, bands)` float32.

    Args:
        image: Image `(height, width, bands)` uint8.
        input_size: Fixed height and width of the model; None to pad as `usrn predict`.

    Raises:
        ExportError: The image is larger than `input_size`.
    """
    if input_size is None:
        return pad_image(image)[None].astype(np.float32)
    height, width = image.shape[:2]
    if height > input_size[0] or width > input_size[1]:
        raise ExportError(
            f"an image of {height} x {width} does not fit the fixed size {input_size[0]} x {input_size[1]}",
            hint="Export with a larger --size or without, or check on a data set of smaller images.",
        )
    bands = image.shape[-1]
    padded = np.empty((1, *input_size, bands), np.float32)
    padded[:] = np.rint(image.mean(axis=(0, 1))) if image.size else neutral_colour(bands)
    padded[0, :height, :width] = image
    return padded


def calibration_images(samples: Sequence[Sample], input_size: Size) -> Iterator[np.ndarray]:
    """Read images that calibrate a quantised model, spread over a list.

    Args:
        samples: Labelled samples.
        input_size: Fixed height and width of the model; None if they are dynamic.

    Yields:
        Images `(1, height, width, bands)` float32.
    """
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), CALIBRATION_IMAGES)).astype(int))
    for index in chosen:
        sample = samples[index]
        yield network_input(read_sample_image(sample), input_size)


def _failed(name: str, copy: Path, reason: str) -> CheckedModel:
    copy.unlink(missing_ok=True)
    return CheckedModel(name, "", None, 0, None, f"failed: {reason[:200]}")


def _notes(recipe: Recipe, format: str) -> list[str]:
    notes = ["Times are medians of one whole image on this machine; exported models ran on the CPU."]
    mode = inference_of(recipe)
    if not mode.one_pass:
        notes.append(
            f"All models predicted whole images once, the scores of the run are measured {mode.line()}."
        )
    if format != "onnx":
        notes.append(f"float16 and int8 copies are made of onnx alone, not of {format}: --format onnx")
    return notes
