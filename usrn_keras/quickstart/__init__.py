"""The embedded data set: small street scenes, drawn on the spot and the same everywhere.

`make_quickstart` writes a folder data set like any user's. Its scenes are drawn by perspective from a
world in metres: `camera` projects, `canvas` holds pixels and labels, `light` is the weather, one file each
for what stands in a street, `scene` composes them, `photograph` makes a photograph of it, `dataset` writes.
"""

from usrn_keras.quickstart.classes import CLASSES, PALETTE
from usrn_keras.quickstart.dataset import make_quickstart

__all__ = ["CLASSES", "PALETTE", "make_quickstart"]
