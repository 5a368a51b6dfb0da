"""Check a machine and an installation for training, and suggest changes (`usrn doctor`)."""

from usrn_keras.doctor.doctor_report import DoctorFinding, DoctorReport
from usrn_keras.doctor.examination import diagnose

__all__ = ["DoctorFinding", "DoctorReport", "diagnose"]
