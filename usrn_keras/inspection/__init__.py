"""Looking at a data set before training: every fault at once, its classes, and what training sees."""

from usrn_keras.inspection.findings import FAULTS, NOTES, Finding, Kind
from usrn_keras.inspection.inspect import inspect_data
from usrn_keras.inspection.inspection import Inspection

__all__ = ["FAULTS", "NOTES", "Finding", "Inspection", "Kind", "inspect_data"]
