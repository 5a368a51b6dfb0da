"""Optimizers: SGD as in PyTorch, AdamW, learning rates of single variables, groups of variables."""

from usrn_keras.optimizers.adamw import AdamW
from usrn_keras.optimizers.groups import GroupedOptimizer
from usrn_keras.optimizers.sgd import SGD

__all__ = ["SGD", "AdamW", "GroupedOptimizer"]
