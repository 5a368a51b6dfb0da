"""Data sets, decoding of images and masks, weak views, and batches of labelled and unlabelled images."""

from __future__ import annotations

from usrn_keras.data.batches.loader import Batches
from usrn_keras.data.catalog import load_dataset
from usrn_keras.data.dataset import Dataset, Sample
from usrn_keras.data.decoding.images import image_size, read_image
from usrn_keras.data.decoding.mask_files import read_sublabels
from usrn_keras.data.mask_values import voc_palette
from usrn_keras.data.masks import Rules, read_mask, read_sample
from usrn_keras.data.sample_images import as_rgb, read_sample_image, sample_size
from usrn_keras.data.views.weak_view import WeakView

__all__ = [
    "Batches",
    "Dataset",
    "Rules",
    "Sample",
    "WeakView",
    "as_rgb",
    "image_size",
    "load_dataset",
    "read_image",
    "read_mask",
    "read_sample",
    "read_sample_image",
    "read_sublabels",
    "sample_size",
    "voc_palette",
]
