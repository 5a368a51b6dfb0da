"""Training: one step per backend, optimizer, loop, checkpoints."""

from usrn_keras.training.checkpoint import load_checkpoint, read_header, save_checkpoint
from usrn_keras.training.loop import Loop
from usrn_keras.training.optimizer import SGD, PolySchedule

__all__ = ["SGD", "Loop", "PolySchedule", "load_checkpoint", "read_header", "save_checkpoint"]
