"""Training loop, checkpoints and callbacks."""

from usrn_keras.training.checkpoint import load_checkpoint, read_header, save_checkpoint
from usrn_keras.training.loop import Loop

__all__ = ["Loop", "load_checkpoint", "read_header", "save_checkpoint"]
