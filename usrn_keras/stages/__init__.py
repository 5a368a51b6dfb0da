"""Stages of a run, each resumable: those that the method asks for, then the scores."""

from usrn_keras.stages.fit import fit
from usrn_keras.stages.subclasses import Clustered, cluster_run

__all__ = ["Clustered", "cluster_run", "fit"]
