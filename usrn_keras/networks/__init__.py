"""Networks: backbones with a configurable output stride, decoders, and the two branches F and F_sub."""

from usrn_keras.networks.backbones import BACKBONES
from usrn_keras.networks.branch import Branch, upsample
from usrn_keras.networks.branch_builder import build_branches
from usrn_keras.networks.saved_segmenter import load_segmenter

__all__ = ["BACKBONES", "Branch", "build_branches", "load_segmenter", "upsample"]
