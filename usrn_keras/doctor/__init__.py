"""`usrn doctor`: what a machine and an installation can do for training, and what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usrn_keras.lazy import loader

if TYPE_CHECKING:
    from usrn_keras.doctor.examine import diagnose
    from usrn_keras.doctor.report import Diagnosis
    from usrn_keras.doctor.request import Request

_HOMES = {"diagnose": "examine", "Diagnosis": "report", "Request": "request"}

__all__ = ["Diagnosis", "Request", "diagnose"]

__getattr__ = loader(__name__, _HOMES)
