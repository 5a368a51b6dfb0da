"""Load the segmenter F from the `.keras` file of a run."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from usrn_keras.backends import COMPILES
from usrn_keras.errors import OutOfMemoryError, WeightsError
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.networks.model_archive import WEIGHTS, check_members, check_weights
from usrn_keras.optional import without_tensorflow

LONGEST_REASON = 400  # characters of an error of Keras, which may repeat the whole config
_CONFIG = "config.json"
_ZEROS = {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": None}


@without_tensorflow()
def load_segmenter(path: Path | str, *, float32: bool = False) -> keras.Model:
    """Load F: a model from images `(batch, height, width, bands)` in 0..255, to logits.

    Args:
        path: Path of the `.keras` file.
        float32: Whether to compute in float32 even if the model was trained with `mixed_bfloat16`, whose
            weights are float32.

    Raises:
        WeightsError: The file is missing, damaged, or no model of this kind.
    """
    model = read_model_file(path, float32=float32)
    # On TensorFlow, dilated convolutions are about ten times slower on a CPU without XLA.
    model.compile(jit_compile=COMPILES)
    return model


@without_tensorflow()
def read_model_file(path: Path | str, *, float32: bool = False) -> keras.Model:
    """Read a `.keras` file that may be from somebody else.

    The file is read in the safe mode of Keras, which does not run code from the file, and only its config,
    metadata and weights are unpacked, if they are not larger than such a file can need. All initializers in
    the config of the model are `Zeros`.

    Args:
        path: Path of the file.
        float32: As for `load_segmenter`.

    Raises:
        WeightsError: The file is missing, damaged, or no Keras model.
        OutOfMemoryError: The model needs more memory than there is.
    """
    try:
        check_members(path)
        # Keras initializes every weight before it reads the saved one. On JAX this compiles a program for
        # each shape, which takes more than ten seconds.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "segmenter.keras"
            _copy_changed(path, copy, _in_float32 if float32 else lambda config: config)
            return keras.models.load_model(copy, compile=False)
    except Exception as error:  # a hostile file makes Keras raise anything
        if ran_out_of_memory(error):
            raise OutOfMemoryError(
                f"memory ran out while {path} was loaded: {type(error).__name__}",
                hint="Close other programs. If the file is from somebody else, it may be made to fill the "
                "memory.",
            ) from error
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise WeightsError(
            f"{path} cannot be loaded as a Keras model: {reason[0][:LONGEST_REASON]}",
            hint="Copy the file again. If it is from somebody else, it may be made to do "
            "harm: do not open it with other programs.",
        ) from error


def _copy_changed(source: Path | str, target: Path, change: Callable[[Any], Any]) -> None:
    """Copy a `.keras` file with a changed config, in which all initializers are `Zeros`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        new.writestr(_CONFIG, json.dumps(change(_with_zeros(json.loads(old.read(_CONFIG))))))
        weights = target.with_name(WEIGHTS)
        with old.open(WEIGHTS) as packed, open(weights, "wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 2**20)
        check_weights(weights)
        new.write(weights, WEIGHTS)
        new.writestr("metadata.json", old.read("metadata.json"))


def _with_zeros(config: Any) -> Any:
    """Replace all Keras initializers in a config with `Zeros`."""
    if isinstance(config, list):
        return [_with_zeros(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _ZEROS if key.endswith("_initializer") and _is_of_keras(value) else _with_zeros(value)
        for key, value in config.items()
    }


def _in_float32(config: Any) -> Any:
    """Set the precision of all layers in a config to float32."""
    if isinstance(config, list):
        return [_in_float32(value) for value in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return config | {"config": config["config"] | {"name": "float32"}}
    return {key: _in_float32(value) for key, value in config.items()}


def _is_of_keras(initializer: Any) -> bool:
    return isinstance(initializer, dict) and initializer.get("module") == "keras.initializers"
