"""Looking at a data set before training: every fault at once, its classes, and what training sees."""

from usrn_keras.inspection.data_findings import FAULTS, NOTES, DataFinding, Kind
from usrn_keras.inspection.dataset_inspection import Inspection, inspect_data

__all__ = ["FAULTS", "NOTES", "DataFinding", "Inspection", "Kind", "inspect_data"]
