"""Inspect a data set before training: all errors at once, classes, splits and training views."""

from usrn_keras.inspection.data_findings import ERRORS, NOTES, DataFinding, Kind
from usrn_keras.inspection.dataset_inspection import Inspection, inspect_data

__all__ = ["ERRORS", "NOTES", "DataFinding", "Inspection", "Kind", "inspect_data"]
