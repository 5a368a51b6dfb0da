"""One conversion in this process, with the current backend: write, run, compare."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from usrn_keras.errors import ExportError, USRNError
from usrn_keras.export.formats import find_format
from usrn_keras.export.parity import Parity, Reference, check_parity


def convert(
    model: keras.Model,
    path: Path,
    format: str,
    input_size: tuple[int, int] | None,
    tolerance: float,
    reference: Reference,
) -> Parity:
    """Write `path` and compare what it computes with `reference`.

    Raises:
        ExportError: The model cannot be converted or run, or does not agree.
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
    """Turn whatever a converter raises into an `ExportError`; the cause is kept for `--debug`."""
    try:
        yield
    except (USRNError, OSError, MemoryError):
        raise
    except Exception as error:  # converters raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        hint = "Another backend may do it: KERAS_BACKEND=torch, jax or tensorflow."
        if input_size is None:
            hint = "A fixed input size is easier to convert: give one, for instance 512 x 512."
        raise ExportError(
            what,
            faults=[f"{type(error).__name__}: {' '.join(lines)[:600]}"],
            hint=hint,
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence converters, which warn about their own internals; the parity check judges the result."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
