"""Subclasses: their number per class, features, clusters and sublabel maps.

The names below are imported on first use, because counting subclasses does not need Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras.lazy_imports import lazy_loader

if TYPE_CHECKING:
    from usrn_keras.subclasses.build_subclasses import make_subclasses, plain_sizes, remove_features
    from usrn_keras.subclasses.class_balance import Clustering, class_balance_rate, subclass_counts
    from usrn_keras.subclasses.subclass_map import SubclassMap
    from usrn_keras.subclasses.sublabel_maps import sublabel_file

_HOMES = {
    "Clustering": "class_balance",
    "SubclassMap": "subclass_map",
    "class_balance_rate": "class_balance",
    "make_subclasses": "build_subclasses",
    "plain_sizes": "build_subclasses",
    "remove_features": "build_subclasses",
    "sublabel_file": "sublabel_maps",
    "subclass_counts": "class_balance",
}

__all__ = [*_HOMES]

__getattr__ = lazy_loader(__name__, _HOMES)
