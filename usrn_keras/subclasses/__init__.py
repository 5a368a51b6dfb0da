"""Subclasses: how many of each class, their features, sublabel maps."""

from usrn_keras.subclasses.counts import class_balance_rate, subclass_counts
from usrn_keras.subclasses.make import Clustering, class_pixels, make_subclasses, sublabel_file
from usrn_keras.subclasses.subclass_map import SubclassMap

__all__ = [
    "Clustering",
    "SubclassMap",
    "class_balance_rate",
    "class_pixels",
    "make_subclasses",
    "subclass_counts",
    "sublabel_file",
]
