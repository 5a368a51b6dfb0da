"""The losses of USRN: plain functions of logits and labels; no layers, no recipe, no state."""

from usrn_keras.losses.cross_entropy import cross_entropy, cross_entropy_and_accuracy, pixel_cross_entropy
from usrn_keras.losses.pseudo_labels import (
    normalised_entropy,
    pseudo_labels,
    unbiased_class_probabilities,
)
from usrn_keras.losses.usrn import supervised_losses, unlabelled_losses, usrn_losses
from usrn_keras.terms import Correction, Gate

__all__ = [
    "Correction",
    "Gate",
    "cross_entropy",
    "cross_entropy_and_accuracy",
    "normalised_entropy",
    "pixel_cross_entropy",
    "pseudo_labels",
    "supervised_losses",
    "unbiased_class_probabilities",
    "unlabelled_losses",
    "usrn_losses",
]
