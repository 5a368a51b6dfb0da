"""Results for people: tables that compare models, charts, pictures and the page of a run."""

from usrn_keras.report.comparison import Comparison, comparison_csv, comparison_markdown, comparison_table

__all__ = ["Comparison", "comparison_csv", "comparison_markdown", "comparison_table"]
