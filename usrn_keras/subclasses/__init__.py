"""Subclasses: how many of each class, their features, sublabel maps."""

from usrn_keras.subclasses.counts import class_balance_rate, subclass_counts
from usrn_keras.subclasses.make import make_subclasses, remove_features
from usrn_keras.subclasses.maps import sublabel_file
from usrn_keras.subclasses.options import Clustering
from usrn_keras.subclasses.plain import plain_sizes
from usrn_keras.subclasses.subclass_map import SubclassMap

__all__ = [
    "Clustering",
    "SubclassMap",
    "class_balance_rate",
    "make_subclasses",
    "plain_sizes",
    "remove_features",
    "subclass_counts",
    "sublabel_file",
]
