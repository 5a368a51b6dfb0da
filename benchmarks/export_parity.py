"""Every export format by every backend, run by its own runtime beside the Keras model.

    python benchmarks/export_parity.py --csv benchmarks/results/export_parity.csv

A DeepLabv3+ of a quarter of MobileNet with random weights, images of 96 x 160 and 2 x 128 x 64; an entry is
the largest difference of two logits by the largest logit, or the message that refuses the pair. Each backend
runs in a process of its own; formats of another backend are not converted in a worker here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table

BACKENDS = ("torch", "tensorflow", "jax")
NAMES = ("road", "car", "tree", "sky", "person")


def network() -> Any:
    """A segmenter whose statistics of batch normalisation are as after training."""
    from usrn_keras.networks import build_branches

    sizes = {"aspp_rates": [2], "aspp_channels": 16, "low_level_channels": 8, "decoder_channels": 16}
    branch, _ = build_branches(
        "keras/mobilenet", classes=len(NAMES), weights="none", width=0.25, seed=0, **sizes
    )
    rng = np.random.default_rng(0)
    for variable in branch.variables:
        if "moving_variance" in variable.path:
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
        elif "moving_mean" in variable.path or "beta" in variable.path:
            variable.assign(rng.normal(0.0, 0.3, variable.shape))
    return branch.segmenter()


def pairs(model: Any, folder: Path) -> Iterator[tuple[str, Callable[[], Callable]]]:
    """Each format with a function that writes it and returns a function from images to logits."""
    import keras

    from usrn_keras.export.formats import FORMATS
    from usrn_keras.export.onnx_labels import label_onnx
    from usrn_keras.export.parity import random_images
    from usrn_keras.export.smaller_onnx import write_float16, write_int8
    from usrn_keras.networks import load_segmenter
    from usrn_keras.networks.file_formats import export_network

    onnx = folder / "model.onnx"

    def saved() -> Callable:
        model.save(folder / "model.keras")
        again = load_segmenter(folder / "model.keras")
        return lambda images: keras.ops.convert_to_numpy(again(images))

    def exported(name: str) -> Callable[[], Callable]:
        def write() -> Callable:
            path = folder / FORMATS[name].file_name
            export_network(model, path, name)
            return FORMATS[name].run(path)

        return write

    def argmax() -> Callable:
        import onnxruntime

        label_onnx(onnx, NAMES, np.zeros((len(NAMES), 3), int), argmax=True)
        session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

        def run(images: np.ndarray) -> np.ndarray:
            logits, classes = session.run(["logits", "classes"], {"images": images})
            if (logits.argmax(-1) != classes).any():
                raise ValueError("`classes` are not the argmax of `logits`")
            return logits

        return run

    def smaller(write: Callable, *arguments: Any) -> Callable[[], Callable]:
        def written() -> Callable:
            write(onnx, folder / "smaller.onnx", *arguments)
            return FORMATS["onnx"].run(folder / "smaller.onnx")

        return written

    def openvino(path: Path, write: bool) -> Callable[[], Callable]:
        def written() -> Callable:
            from openvino import Core

            if write:
                model.export(str(path), format="openvino", verbose=False)
            compiled = Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            return lambda images: compiled(images)[0]

        return written

    calibration = random_images((4, 64, 96))
    yield "keras", saved
    yield from ((name, exported(name)) for name in FORMATS)
    yield "onnx, with --argmax", argmax
    yield "onnx, float16", smaller(write_float16)
    yield "onnx, int8", smaller(write_int8, lambda: (image[None] for image in calibration))
    yield "onnx, run by OpenVINO", openvino(onnx, False)
    yield "openvino, by Keras", openvino(folder / "model.xml", True)


def measure(backend: str) -> None:
    """Print a line of JSON for each format."""
    import keras

    from usrn_keras.export.conversion import quiet
    from usrn_keras.export.parity import Reference, compare

    assert keras.backend.backend() == backend
    model = network()
    reference = Reference.of(model, None)
    with tempfile.TemporaryDirectory() as folder:
        for name, write in pairs(model, Path(folder)):
            row = {"backend": backend, "format": name}
            try:
                with quiet():
                    run = write()
                    found = compare(reference.logits, [run(images) for images in reference.images])
                row |= {"difference": f"{found.relative_difference:.1e}"}
                row |= {"same_class": f"{found.argmax_agreement:.3%}", "message": ""}
            except Exception as error:  # converters raise anything
                text = " ".join(str(error).split())
                row |= {
                    "difference": "",
                    "same_class": "",
                    "message": f"{type(error).__name__}: {text[:300]}",
                }
            print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default=",".join(BACKENDS), help="Backends, comma-separated.")
    parser.add_argument("--csv", type=Path, help="File of the results.")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        measure(options.worker)
        return
    facts = machine.facts()
    for backend in options.backends.split(","):
        environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, "--worker", backend]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
            rows = (json.loads(line) for line in worker.stdout if line.startswith("{"))
            table.publish(rows, facts, options.csv)


if __name__ == "__main__":
    main()
