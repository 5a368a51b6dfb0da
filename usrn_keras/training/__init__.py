"""Training: one step per backend, optimizer, loop, checkpoints."""

from usrn_keras.training.adamw import AdamW
from usrn_keras.training.checkpoint import load_checkpoint, read_header, save_checkpoint
from usrn_keras.training.loop import Loop
from usrn_keras.training.schedule import PolySchedule
from usrn_keras.training.sgd import SGD

__all__ = ["SGD", "AdamW", "Loop", "PolySchedule", "load_checkpoint", "read_header", "save_checkpoint"]
