"""Data sets, the decoding of their files, weak views, and batches of both streams."""

from __future__ import annotations

from usrn_keras.data.batches.batches import Batches
from usrn_keras.data.batches.weak_view import WeakView
from usrn_keras.data.files.images import image_size, read_image
from usrn_keras.data.files.masks import Rules, read_mask, read_sample
from usrn_keras.data.files.sublabels import read_sublabels
from usrn_keras.data.layouts.load import load_dataset
from usrn_keras.data.layouts.palette import voc_palette
from usrn_keras.data.sample import Dataset, Sample

__all__ = [
    "Batches",
    "Dataset",
    "Rules",
    "Sample",
    "WeakView",
    "image_size",
    "load_dataset",
    "read_image",
    "read_mask",
    "read_sample",
    "read_sublabels",
    "voc_palette",
]
