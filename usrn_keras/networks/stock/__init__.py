"""Whole networks as a supplier has them, in the parts of a branch."""

from usrn_keras.networks.stock.find import ARCHITECTURES, StockOptions, find_architecture

__all__ = ["ARCHITECTURES", "StockOptions", "find_architecture"]
