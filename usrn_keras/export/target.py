"""Where an export goes: what it may replace, and how large it is."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.errors import ExportError
from usrn_keras.files import files_of

SAVED_MODEL_MARK = "saved_model.pb"


def refuse_foreign_folder(path: Path, *, folder: bool) -> None:
    """Only an earlier export may be replaced.

    Raises:
        ExportError: `path` is a folder that holds something else, or a file where a folder is
            to be written.
    """
    if path.is_dir() and not (folder and ((path / SAVED_MODEL_MARK).exists() or not any(path.iterdir()))):
        raise ExportError(
            f"{path} is a folder and no earlier export: it is not replaced",
            hint="Name a file or folder inside it.",
        )
    if folder and path.is_file():
        raise ExportError(f"{path} is a file; this format writes a folder", hint="Choose another name.")


def size_of(path: Path) -> int:
    """Bytes of a file or of a folder's files."""
    return sum(file.stat().st_size for file in files_of(path))
