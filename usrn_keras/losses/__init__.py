"""Losses: pure functions of logits and labels, without layers, recipe or state."""

from usrn_keras.losses.consistency import consistency, sigmoid_ramp
from usrn_keras.losses.contrast import directional_contrast
from usrn_keras.losses.coverage import threshold_of_share, value_at
from usrn_keras.losses.cross_entropy import cross_entropy, cross_entropy_and_accuracy, pixel_cross_entropy
from usrn_keras.losses.hard_pixels import bootstrapped_pixels, ohem_pixels
from usrn_keras.losses.pseudo_labels import (
    Gate,
    ensemble_pseudo_labels,
    normalised_entropy,
    pseudo_labels,
    unbiased_class_probabilities,
)
from usrn_keras.losses.upsampled_labels import upsampled_corrected_labels, upsampled_labels
from usrn_keras.losses.usrn_objective import (
    self_training_losses,
    supervised_losses,
    unlabelled_losses,
    usrn_losses,
)

__all__ = [
    "Gate",
    "bootstrapped_pixels",
    "consistency",
    "cross_entropy",
    "cross_entropy_and_accuracy",
    "directional_contrast",
    "ensemble_pseudo_labels",
    "normalised_entropy",
    "ohem_pixels",
    "pixel_cross_entropy",
    "pseudo_labels",
    "self_training_losses",
    "sigmoid_ramp",
    "supervised_losses",
    "threshold_of_share",
    "unbiased_class_probabilities",
    "unlabelled_losses",
    "upsampled_corrected_labels",
    "upsampled_labels",
    "usrn_losses",
    "value_at",
]
