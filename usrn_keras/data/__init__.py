"""Data sets, the decoding of their files, weak views, and batches of both streams."""

from __future__ import annotations

from usrn_keras.data.batches import Batches
from usrn_keras.data.images import Rules, read_image, read_mask, read_sample, read_sublabels
from usrn_keras.data.load import load_dataset
from usrn_keras.data.palette import voc_palette
from usrn_keras.data.sample import Dataset, Sample
from usrn_keras.data.weak_view import WeakView

__all__ = [
    "Batches",
    "Dataset",
    "Rules",
    "Sample",
    "WeakView",
    "load_dataset",
    "read_image",
    "read_mask",
    "read_sample",
    "read_sublabels",
    "voc_palette",
]
