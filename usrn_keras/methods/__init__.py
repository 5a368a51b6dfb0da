"""Training methods: one `keras.Model` each, with its own `train_step`."""

from usrn_keras.methods.supervised import Supervised
from usrn_keras.methods.usrn import USRN

__all__ = ["USRN", "Supervised"]
