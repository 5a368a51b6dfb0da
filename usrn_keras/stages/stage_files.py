"""The files that a training stage leaves: its whole state, and F alone."""

from __future__ import annotations

from pathlib import Path

import keras

from usrn_keras.files import atomic_path
from usrn_keras.networks import Branch
from usrn_keras.optional import without_tensorflow
from usrn_keras.runs import Run


def checkpoint_file(run: Run, folder: str) -> Path:
    """The checkpoint of a training stage: its whole state."""
    return run.stage(folder) / "checkpoint.npz"


def save_segmenter(branch: Branch, path: Path) -> None:
    """Write F alone as a `.keras` file, atomically."""
    with atomic_path(path) as temporary, without_tensorflow():
        keras.saving.save_model(branch.segmenter(), temporary)
