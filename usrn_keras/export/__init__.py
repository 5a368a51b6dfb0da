"""Export of a trained network for deployment, checked by running what was written."""

from usrn_keras.export.formats import FORMATS
from usrn_keras.export.run_export import ExportReport, export_model, export_run

__all__ = ["FORMATS", "ExportReport", "export_model", "export_run"]
