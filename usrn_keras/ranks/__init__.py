"""Processes that train together: which of them this one is, and what they agree on. Knows nothing of USRN."""

from usrn_keras.ranks.launch import claim_gpu, launched_ranks, run_processes
from usrn_keras.ranks.ranks import ALONE, Ranks

__all__ = ["ALONE", "Ranks", "claim_gpu", "launched_ranks", "run_processes"]
