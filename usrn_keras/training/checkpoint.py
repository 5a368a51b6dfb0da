"""Save and load the complete training state: weights, statistics, optimizer, random state, step."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.errors import DivergedError, WeightsError
from usrn_keras.files import NOT_AS_EXPECTED, atomic_path

FORMAT = 1
"""Version of the format of checkpoints; files without one are of this format, too."""


def save_checkpoint(path: Path, model: keras.Model, step: int, **facts: Any) -> None:
    """Write every variable of a compiled `model` and its optimizer, atomically.

    Each array has the CRC-32 checksum of its bytes in the file, which `load_checkpoint` compares.

    Args:
        path: Path of the `.npz` file.
        model: Compiled model whose variables are written.
        step: Number of completed steps.
        **facts: JSON values to store with the step, such as `seconds`, the training time.

    Raises:
        DivergedError: If a variable is not finite; an existing file is kept.
        StorageError: If the disk is full; an existing file is kept.
    """
    arrays = {key: np.asarray(keras.ops.convert_to_numpy(variable.value)) for key, variable in _keyed(model)}
    broken = [key for key, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise DivergedError(
            f"step {step}: {len(broken)} variables are not finite, such as {broken[0].split(':', 1)[1]}",
            hint=_diverged_hint(path),
        )
    header = json.dumps({"format": FORMAT, "step": step, "seconds": 0.0, **facts})
    with atomic_path(path) as temporary:
        np.savez(temporary, header=np.array(header), **arrays)


def load_checkpoint(path: Path, model: keras.Model) -> dict[str, Any]:
    """Restore a checkpoint; returns its `step` and the other facts.

    Raises:
        WeightsError: If the file cannot be read, or is from another network.
    """
    header, arrays = _read(path)
    expected = dict(_keyed(model))
    errors = [f"{key}: missing" for key in expected if key not in arrays]
    errors += [f"{key}: not in this network" for key in arrays if key not in expected]
    errors += [
        f"{key}: the network needs {tuple(variable.shape)}, the file has {arrays[key].shape}"
        for key, variable in expected.items()
        if key in arrays and tuple(variable.shape) != arrays[key].shape
    ]
    if errors:
        raise WeightsError(f"{path} is from another network", errors=errors[:40])
    for key, variable in expected.items():
        variable.assign(arrays[key])
    return header


def read_header(path: Path) -> dict[str, Any]:
    """Read the step and facts of a checkpoint without its arrays."""
    return _read(path, arrays=False)[0]


def _read(path: Path, arrays: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            _check_header(path, header)
            return header, {key: file[key] for key in file.files if key != "header"} if arrays else {}
    except (OSError, RuntimeError, MemoryError, *NOT_AS_EXPECTED) as error:  # as the damaged bytes say
        raise WeightsError(
            f"{path} cannot be read as a checkpoint: {error}",
            hint="Delete this file to train its stage from the start.",
        ) from error


def _check_header(path: Path, header: dict[str, Any]) -> None:
    if not isinstance(header["step"], int) or not isinstance(header["seconds"], int | float):
        raise TypeError("`step` and `seconds` must be numbers")
    if header.get("format", FORMAT) != FORMAT:
        raise WeightsError(
            f"{path} has format {header['format']}; this version reads format {FORMAT}",
            hint="Resume the run with the version of usrn-keras that it was begun with (environment.json).",
        )


def _keyed(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Return the variables by index and path, without the counters that Keras adds to names in a process."""
    variables = [*model.variables, *model.optimizer.variables]
    unique = {id(variable): variable for variable in variables}.values()
    return [
        (f"{index:04d}:{re.sub(r'_[0-9]+', '', variable.path)}", variable)
        for index, variable in enumerate(unique)
    ]


def _diverged_hint(path: Path) -> str:
    kept = f"The last good checkpoint is kept: {path}. " if path.exists() else ""
    return f"{kept}Lower training.learning_rate in a new run."
