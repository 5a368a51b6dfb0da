"""Stages of a run, each resumable: Baseline -> subclasses -> USRN -> scores."""

from usrn_keras.stages.fit import fit

__all__ = ["fit"]
