"""Processes that train together: which of them this one is, and what they agree on. Knows nothing of USRN."""

from usrn_keras.ranks.launch import run_processes
from usrn_keras.ranks.launcher_variables import claim_gpu, find_launch, launched_ranks
from usrn_keras.ranks.ranks import ALONE, Ranks

__all__ = ["ALONE", "Ranks", "claim_gpu", "find_launch", "launched_ranks", "run_processes"]
