"""The built-in data set: small generated aerial scenes with four rare classes.

`make_quickstart` writes an ordinary folder data set. `looks` describes the appearance of the classes,
`aerial_ground` paints what covers the ground, `aerial_objects` places buildings and rare objects,
`aerial_scene` composes and photographs a scene, and `aerial_images` writes the files.
"""

from usrn_keras.data.quickstart.aerial_images import make_quickstart
from usrn_keras.data.quickstart.looks import CLASSES, PALETTE

__all__ = ["CLASSES", "PALETTE", "make_quickstart"]
