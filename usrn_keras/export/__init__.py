"""Export a trained network for deployment, and check the exported model by running it."""

from usrn_keras.export.formats import FORMATS
from usrn_keras.export.run_export import ExportReport, export_model, export_run

__all__ = ["FORMATS", "ExportReport", "export_model", "export_run"]
