"""The built-in data set: small generated street scenes, equal on every machine.

`make_quickstart` writes an ordinary folder data set. Its scenes are rendered in perspective from a world in
metres: `camera` projects points, `canvas` stores pixels and labels, `light` models the weather, one file each
paints a type of object, `street` places the objects, `scene` composes and photographs them, and
`street_scenes` writes the files.
"""

from usrn_keras.data.quickstart.canvas import CLASSES, PALETTE
from usrn_keras.data.quickstart.street_scenes import make_quickstart

__all__ = ["CLASSES", "PALETTE", "make_quickstart"]
