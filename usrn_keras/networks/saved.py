"""F alone, read from the `.keras` file of a run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from usrn_keras.errors import WeightsError
from usrn_keras.optional import tensorflow_left_out


@tensorflow_left_out()
def load_segmenter(path: Path | str) -> keras.Model:
    """F alone: images `(batch, height, width, 3)`, RGB in 0..255, to logits.

    The file is read in Keras' safe mode: no code in it is run.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{path} cannot be loaded as a Keras model: {error}",
            hint="Copy it again from where it was trained.",
        ) from error
    # XLA on TensorFlow too: without it dilated convolutions are about ten times slower on a CPU.
    model.compile(jit_compile=keras.backend.backend() != "torch")
    return model
