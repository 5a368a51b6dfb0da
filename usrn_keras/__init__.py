"""USRN in Keras 3: semi-supervised segmentation with subclasses of equal size (CVPR 2022, arXiv 2203.10026).

The names below are imported on first use, so that `import usrn_keras` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras._version import __version__
from usrn_keras.lazy_imports import lazy_loader

if TYPE_CHECKING:
    from usrn_keras.clustering import BalancedKMeans
    from usrn_keras.data import Batches, load_dataset
    from usrn_keras.evaluation import Segmentation, Segmenter, evaluate, load
    from usrn_keras.losses import pseudo_labels, usrn_losses
    from usrn_keras.methods import USRN, Method, PrototypeEnsemble, SelfTraining, Supervised
    from usrn_keras.metrics.segmentation_iou import SegmentationIoU
    from usrn_keras.networks import Branch, build_branches
    from usrn_keras.optimizers import SGD, AdamW
    from usrn_keras.recipe import load_recipe
    from usrn_keras.stages import fit

_HOMES = {
    "USRN": "methods",
    "SelfTraining": "methods",
    "PrototypeEnsemble": "methods",
    "Supervised": "methods",
    "Method": "methods",
    "Branch": "networks",
    "build_branches": "networks",
    "usrn_losses": "losses",
    "pseudo_labels": "losses",
    "BalancedKMeans": "clustering",
    "SGD": "optimizers",
    "AdamW": "optimizers",
    "load_recipe": "recipe",
    "load_dataset": "data",
    "Batches": "data",
    "SegmentationIoU": "metrics.segmentation_iou",
    "evaluate": "evaluation",
    "load": "evaluation",
    "Segmenter": "evaluation",
    "Segmentation": "evaluation",
    "fit": "stages",
}

__all__ = ["__version__", *_HOMES]

__getattr__ = lazy_loader(__name__, _HOMES)
