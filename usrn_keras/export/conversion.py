"""Convert a model, run the result and compare; in this process or in a worker process.

A worker process converts with another backend, or on the CPU. The model is passed as a `.keras` file, which
every backend can load.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from usrn_keras.errors import ExportError, USRNError
from usrn_keras.export.formats import find_format
from usrn_keras.export.parity import Parity, Reference, check_parity
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.worker import Worker, WorkerError


def convert(
    model: keras.Model,
    path: Path,
    format: str,
    input_size: tuple[int, int] | None,
    tolerance: float,
    reference: Reference,
) -> Parity:
    """Write `path`, run it and compare its logits with `reference`.

    Raises:
        ExportError: If the model cannot be converted or run, or its logits differ.
    """
    target = find_format(format)
    with quiet():
        with explained(f"{format} export with the {keras.backend.backend()} backend failed", input_size):
            target.write(model, path, input_size)
        with explained(f"the exported {format} model does not run", input_size):
            run = target.run(path)
            return check_parity(run, reference, tolerance=tolerance)


@contextmanager
def explained(what: str, input_size: tuple[int, int] | None) -> Iterator[None]:
    """Convert any error of a converter to an `ExportError`; the cause is kept for `--debug`."""
    try:
        yield
    except (USRNError, OSError):
        raise
    except Exception as error:  # converters raise anything
        if ran_out_of_memory(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        hint = "Try another backend: KERAS_BACKEND=torch, jax or tensorflow."
        if input_size is None:
            hint = "Try a fixed input size, which is easier to convert: --size 512x512"
        raise ExportError(
            what,
            errors=[f"{type(error).__name__}: {' '.join(lines)[:600]}"],
            hint=hint,
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings of converters about their internals; the parity check verifies the result."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}


def reason_for_worker(backend: str, format: str) -> str:
    """Return the reason to convert in a worker process; empty if there is none."""
    current = keras.backend.backend()
    if backend != current:
        return (
            f"the {current} backend cannot write {format}: converted by a subprocess with the {backend} "
            "backend"
        )
    if is_on_accelerator():
        # An exported graph keeps the device it was traced on, and TF32 would make the comparison inaccurate.
        return "converted and compared on the CPU by a subprocess, so that the result runs on any device"
    return ""


def is_on_accelerator() -> bool:
    """Whether the current backend computes on a GPU or TPU."""
    backend = keras.backend.backend()
    if backend == "torch":
        return keras.ops.zeros(1).device.type != "cpu"
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def convert_in_worker(
    model: keras.Model,
    path: Path,
    format: str,
    input_size: tuple[int, int] | None,
    tolerance: float,
    backend: str,
) -> Parity:
    """Run `convert` in a worker process with `backend` on the CPU; its files are in the folder of `path`.

    Raises:
        ExportError: See `convert`; or if the process ended without a result.
    """
    model_file, reference_file = path.parent / "model.keras", path.parent / "reference.npz"
    model.save(model_file)
    order = {
        "model": str(model_file),
        "path": str(path),
        "format": format,
        "input_size": input_size,
        "tolerance": tolerance,
        "reference": None,
    }
    if not is_on_accelerator():
        Reference.of(model, input_size).save(reference_file)
        order["reference"] = str(reference_file)
    target = f"{__name__}:convert_file"
    try:
        with Worker(target, order, {"KERAS_BACKEND": backend, **ON_CPU}) as worker:
            return Parity(**worker.result())
    except WorkerError as error:
        raise ExportError(
            f"{format} export in a subprocess with the {backend} backend ended with code {error.code}",
            errors=[*error.lines[-1:]] or ["no output"],
            hint=f"Run the same command with KERAS_BACKEND={backend}; every backend can load the weights.",
        ) from error


def convert_file(order: dict, send: Callable[[dict], None]) -> dict:
    """Convert the model file of an order of `convert_in_worker`; return the values of `Parity`."""
    model = keras.models.load_model(order["model"], compile=False)
    size = tuple(order["input_size"]) if order["input_size"] else None
    stored = order["reference"]
    reference = Reference.load(Path(stored)) if stored else Reference.of(model, size)
    return vars(convert(model, Path(order["path"]), order["format"], size, order["tolerance"], reference))
