"""Small copies of predicted maps, kept with a stage so that a report needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from usrn_keras.files import atomic_path, damage_reported


def write_small_maps(path: Path, maps: Mapping[str, np.ndarray]) -> None:
    """Write the maps of class ids of images, `(height, width)` integers by name of the image, as `.npz`."""
    smallest = [ids.astype(np.min_scalar_type(int(ids.max()))) for ids in maps.values()]
    numbered = {str(i): ids for i, ids in enumerate(smallest)}  # a name may be one that NumPy uses
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, names=np.array(list(maps), dtype=str), **numbered)


def read_small_maps(path: Path) -> dict[str, np.ndarray]:
    """Read a file of `write_small_maps`; without the file there are no maps.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "small_maps.npz"
    >>> write_small_maps(path, {"town/0": np.array([[0, 7]])})
    >>> read_small_maps(path)
    {'town/0': array([[0, 7]], dtype=uint8)}
    """
    if not path.exists():
        return {}
    with damage_reported(path), np.load(path) as file:
        return {name: file[str(i)] for i, name in enumerate(file["names"].tolist())}
