"""What becomes of the pseudo labels while USRN trains: looked at, never learnt from."""

from usrn_keras.diagnosis.diagnose import Diagnosis
from usrn_keras.diagnosis.log import DiagnosisLog

__all__ = ["Diagnosis", "DiagnosisLog"]
