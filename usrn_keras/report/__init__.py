"""What a trained model reached: scores, and tables that set runs side by side."""

from usrn_keras.report.provenance import Provenance
from usrn_keras.report.scores import Scores
from usrn_keras.report.tables import Comparison

__all__ = ["Comparison", "Provenance", "Scores"]
