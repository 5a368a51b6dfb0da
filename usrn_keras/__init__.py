"""USRN in Keras 3: semi-supervised segmentation with subclasses of equal size (CVPR 2022, arXiv 2203.10026).

The names below are imported on first use, so that `import usrn_keras` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras._version import __version__
from usrn_keras.lazy_imports import lazy_loader

if TYPE_CHECKING:
    from usrn_keras.clustering import BalancedKMeans
    from usrn_keras.data import Batches, Dataset, Sample, load_dataset
    from usrn_keras.evaluation import evaluate
    from usrn_keras.losses import pseudo_labels, usrn_losses
    from usrn_keras.methods import USRN, Supervised
    from usrn_keras.networks import Branch, build_branches
    from usrn_keras.optimizers import SGD, AdamW
    from usrn_keras.recipe import Recipe
    from usrn_keras.stages import fit
    from usrn_keras.subclasses import SubclassMap

_HOMES = {
    "USRN": "methods",
    "Supervised": "methods",
    "Branch": "networks",
    "build_branches": "networks",
    "usrn_losses": "losses",
    "pseudo_labels": "losses",
    "BalancedKMeans": "clustering",
    "SubclassMap": "subclasses",
    "SGD": "optimizers",
    "AdamW": "optimizers",
    "Recipe": "recipe",
    "Batches": "data",
    "Dataset": "data",
    "Sample": "data",
    "load_dataset": "data",
    "evaluate": "evaluation",
    "fit": "stages",
}

__all__ = ["__version__", *_HOMES]

__getattr__ = lazy_loader(__name__, _HOMES)
