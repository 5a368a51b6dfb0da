"""`usrn doctor`: what a machine and an installation can do for training, and what to change."""

from usrn_keras.doctor.doctor_report import DoctorFinding, DoctorReport, DoctorSection
from usrn_keras.doctor.examination import diagnose

__all__ = ["DoctorFinding", "DoctorReport", "DoctorSection", "diagnose"]
