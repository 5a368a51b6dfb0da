"""Pretrained weights of a recipe: on the disk already, missing, or to be downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from usrn_keras.doctor.disk import keras_folder
from usrn_keras.doctor.findings import NOTE, Finding
from usrn_keras.errors import WeightsError
from usrn_keras.recipe import Recipe
from usrn_keras.subclasses.feature_store import in_words

KERAS_FILES = {  # what keras.applications downloads
    "mobilenet": "mobilenet_1_0_224_tf_no_top.h5",
    "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet101": "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet152": "resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
KERAS_CV_IMAGENET = ("resnet50",)  # those of `BACKBONES` with a preset; to ask there loads Keras


def source_of_weights(recipe: Recipe, found: list[Finding]) -> str:
    """Where pretrained weights come from, in words.

    Args:
        recipe: Names them.
        found: Grows by what is wrong, and by a note on a download.
    """
    network = recipe.network
    supplier, _, kind = network.backbone.partition("/")
    if network.weights == "none":
        return "none (random)"
    if network.weights != "imagenet":
        path = Path(network.weights)
        if not path.is_file():
            error = f"network.weights: no such file: {path}"
            advice = "--set network.weights=PATH.weights.h5, or imagenet, or none"
            found.append(Finding("weights", error, advice, error=WeightsError))
            return f"{path} (MISSING)"
        return f"{path} ({in_words(path.stat().st_size)})"
    if not network.backbone or (supplier == "keras_cv" and kind not in KERAS_CV_IMAGENET):
        whole = network.backbone or network.architecture
        message = f"network.weights: there are no ImageNet weights for {whole}"
        advice = "--set network.weights=none, or PATH.weights.h5, or network.backbone=keras_cv/resnet50"
        found.append(Finding("weights", message, advice, error=WeightsError))
        return "ImageNet's (there are NONE)"
    if supplier == "keras":
        path = keras_folder() / "models" / KERAS_FILES.get(kind, "")
        if path.is_file():
            return f"ImageNet's, in {path}"
    elif any(_kaggle_folder().glob(f"models/keras/resnetv1/keras/{kind}_imagenet/*")):
        return f"ImageNet's, in {_kaggle_folder()}"
    advice = "where there is no network: --set network.weights=PATH.weights.h5, or none"
    message = f"the ImageNet weights of {network.backbone} will be downloaded when training starts"
    found.append(Finding("weights_download", message, advice, level=NOTE))
    return "ImageNet's, not downloaded yet"


def _kaggle_folder() -> Path:
    return Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub")
