"""Worker of `evaluate.py`: the evaluation of a list of images, on the backend of KERAS_BACKEND."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.devices import device_of
from benchmarks.worker import serve
from usrn_keras.data import Dataset, Sample, read_image
from usrn_keras.data.batches.padding import padded_size
from usrn_keras.evaluation import Inference, Predictor, evaluate_with
from usrn_keras.evaluation.forward import Forward
from usrn_keras.networks import build_branches, load_segmenter


class Passes:
    """A network, its predictor and the images.

    Args:
        options: `images` and `masks`, names of files; number of `classes`; `model`, a file, or `backbone`;
            `batch`, `workers`, `mode`, `window`, `device`.
    """

    def __init__(self, options: dict):
        backend = keras.backend.backend()
        self._device = device_of(backend, options["device"])
        self._dataset, self._workers = dataset_of(options), options["workers"]
        started = time.perf_counter()
        inference = Inference(options["mode"], window=options["window"])
        self._predictor = Predictor(network_of(options), inference, batch=options["batch"])
        self._watched = [Watched(self._predictor, name) for name in ("_ids", "_probabilities")]
        self.facts = {
            "device": self._device.name(),
            "versions": f"keras {keras.__version__}, {backend} {importlib.metadata.version(backend)}",
            "load_seconds": round(time.perf_counter() - started, 2),
        }

    def first(self) -> dict[str, float]:
        """Predict an image of each padded size: `seconds`, and `shapes` that the network was given."""
        images, done = (read_image(sample.image) for sample in self._dataset.val), set()
        for image in images:
            if (size := padded_size(image.shape[:2])) not in done:
                done.add(size)
                self._predictor.ids(image)
        return {
            "seconds": sum(watched.seconds for watched in self._watched),
            "shapes": len({shape for watched in self._watched for shape in watched.shapes}),
        }

    def passes(self, count: int) -> dict[str, object]:
        """`seconds` of each pass, the `network_seconds` among them, `miou`, and `peak_memory` in bytes."""
        found: dict[str, list[float]] = {"seconds": [], "network_seconds": []}
        for _ in range(count):
            before = sum(watched.seconds for watched in self._watched)
            started = time.perf_counter()
            val, dataset = self._dataset.val, self._dataset
            measured = evaluate_with(self._predictor, val, dataset, workers=self._workers)
            found["seconds"].append(time.perf_counter() - started)
            found["network_seconds"].append(sum(watched.seconds for watched in self._watched) - before)
        return found | {"miou": measured.scores.miou, "peak_memory": self._device.peak_memory()}


class Watched:
    """A `Forward` of a predictor, in its place: the shapes that it is given, and its seconds."""

    def __init__(self, predictor: Predictor, name: str):
        self._forward: Forward = getattr(predictor, name)
        self.shapes: set[tuple[int, ...]] = set()
        self.seconds = 0.0
        setattr(predictor, name, self)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        answer = self._forward(images)
        self.seconds += time.perf_counter() - started
        self.shapes.add(images.shape)
        return answer


def dataset_of(options: dict) -> Dataset:
    """The files as the val images of a data set."""
    files = zip(options["images"], options["masks"], strict=True)
    samples = tuple(Sample(Path(image).stem, Path(image), Path(mask)) for image, mask in files)
    names = tuple(f"class {number}" for number in range(options["classes"]))
    return Dataset("benchmark", names, np.zeros((len(names), 3), np.uint8), (), (), samples)


def network_of(options: dict) -> keras.Model:
    """F of a run, or one of the same form with drawn weights."""
    if options["model"]:
        return load_segmenter(options["model"])
    keras.utils.set_random_seed(0)
    classes = options["classes"]
    branch, _ = build_branches(options["backbone"], classes=classes, subclasses=2 * classes, weights="none")
    return branch.segmenter()


if __name__ == "__main__":
    serve(Passes)
