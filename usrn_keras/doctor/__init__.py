"""`usrn doctor`: what a machine and an installation can do for training, and what to change."""

from usrn_keras.doctor.examination import diagnose
from usrn_keras.doctor.findings import Diagnosis, Finding, Section

__all__ = ["Diagnosis", "Finding", "Section", "diagnose"]
