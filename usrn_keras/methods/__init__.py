"""Training methods: one file each, a `keras.Model` with its own `train_step`."""

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.methods.augseg import AugSeg
from usrn_keras.methods.base import Method
from usrn_keras.methods.cac import CAC
from usrn_keras.methods.cct import CCT
from usrn_keras.methods.cps import CPS
from usrn_keras.methods.crest import CReST
from usrn_keras.methods.dars import DARS
from usrn_keras.methods.dsbn import DSBN
from usrn_keras.methods.find import METHODS, find_method, stages_of
from usrn_keras.methods.fixmatch import FixMatch
from usrn_keras.methods.gct import GCT
from usrn_keras.methods.host_method import HostMethod
from usrn_keras.methods.loss_part import LossPart, labelled_images, unlabelled_images
from usrn_keras.methods.offline_method import OfflineMethod
from usrn_keras.methods.prototype_ensemble import PrototypeEnsemble
from usrn_keras.methods.pseudo_label_method import PseudoLabelMethod
from usrn_keras.methods.second_head import SecondHead
from usrn_keras.methods.self_training import SelfTraining
from usrn_keras.methods.supervised import Supervised
from usrn_keras.methods.unimatch import UniMatch
from usrn_keras.methods.usrn import USRN
from usrn_keras.networks.two_branch import ForwardPass, Network

__all__ = [
    "CAC",
    "CCT",
    "CPS",
    "DARS",
    "DSBN",
    "GCT",
    "METHODS",
    "USRN",
    "AugSeg",
    "BatchSpec",
    "CReST",
    "FixMatch",
    "ForwardPass",
    "HostMethod",
    "LossPart",
    "Method",
    "Network",
    "OfflineMethod",
    "PrototypeEnsemble",
    "PseudoLabelMethod",
    "SecondHead",
    "SelfTraining",
    "Supervised",
    "UniMatch",
    "find_method",
    "labelled_images",
    "stages_of",
    "unlabelled_images",
]
