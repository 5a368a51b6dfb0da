"""The embedded data set: small street scenes, drawn on the spot and the same everywhere.

`make_quickstart` writes a folder data set like any user's. Its scenes are drawn by perspective from a
world in metres: `camera` projects, `canvas` holds pixels and labels, `light` is the weather, one file each
for what stands in a street, `street` places it, `scene` composes and photographs it, `street_scenes` writes.
"""

from usrn_keras.data.quickstart.canvas import CLASSES, PALETTE
from usrn_keras.data.quickstart.street_scenes import make_quickstart

__all__ = ["CLASSES", "PALETTE", "make_quickstart"]
