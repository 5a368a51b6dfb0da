"""Counts and scores of a segmentation, on numpy arrays alone."""

from usrn_keras.metrics.boundary_counts import boundary_counts
from usrn_keras.metrics.confusion import confusion_matrix
from usrn_keras.metrics.scores import Provenance, Scores, none_for_nan, rare_classes

__all__ = ["Provenance", "Scores", "boundary_counts", "confusion_matrix", "none_for_nan", "rare_classes"]
