"""Subclasses: how many of each class, their features, sublabel maps.

The names below are loaded when they are first used: counting classes needs no Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras.lazy import loader

if TYPE_CHECKING:
    from usrn_keras.subclasses.counts import class_balance_rate, subclass_counts
    from usrn_keras.subclasses.make import make_subclasses, remove_features
    from usrn_keras.subclasses.maps import sublabel_file
    from usrn_keras.subclasses.options import Clustering
    from usrn_keras.subclasses.plain import plain_sizes
    from usrn_keras.subclasses.subclass_map import SubclassMap

_HOMES = {
    "Clustering": "options",
    "SubclassMap": "subclass_map",
    "class_balance_rate": "counts",
    "make_subclasses": "make",
    "plain_sizes": "plain",
    "remove_features": "make",
    "sublabel_file": "maps",
    "subclass_counts": "counts",
}

__all__ = [*_HOMES]

__getattr__ = loader(__name__, _HOMES)
