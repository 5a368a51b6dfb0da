"""Results for people: tables that compare models, charts, pictures and the page of a run."""

from usrn_keras.report.comparison import Comparison

__all__ = ["Comparison"]
