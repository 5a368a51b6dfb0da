"""Worker of `train_step.py`: the training step of the official code (github.com/Dayan-Guan/USRN), PyTorch.

The path of a checkout is in the options: this repository does not contain it. The network, the losses and the
optimizer are its `models.USRN` in the mode `semi` and the values of `configs/voc_1over16_usrn.json`, but:

- Weights are drawn instead of read from a file; the branches start from equal ones, as there.
- `split_list`, its list of subclasses per class, is one that adds up to the asked number of subclasses.
- One process: plain batch normalisation and no DistributedDataParallel. `cudnn.benchmark` is on.
- Its package `base` needs data loaders and TensorBoard on import; only its `BaseModel` is loaded.
- On a CPU, `Tensor.cuda` gives the tensor itself.

Both views of the unlabelled images are given as float tensors: its data loaders make the strong view on the
host, beforehand, so that it is no part of this step; it is a part of ours.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.devices import device_of
from benchmarks.timed_step import TimedStep, made_batch, split_list
from benchmarks.worker import serve

CONFIG = "configs/voc_1over16_usrn.json"


class OfficialStep(TimedStep):
    """The official step and its batch."""

    def __init__(self, options: dict):
        super().__init__(device_of("torch", options["device"]), f"torch {torch.__version__}")
        # As `prepare_backend` of this package has it, which this process does not load.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        on_gpu = options["device"] == "gpu"
        if not on_gpu:
            torch.Tensor.cuda = lambda tensor, *_, **__: tensor
        root, classes, subclasses = Path(options["official"]), options["classes"], options["subclasses"]
        config = json.loads((root / CONFIG).read_text())
        self._model = build_model(root, config, classes, subclasses)
        if on_gpu:
            self._model.cuda()
        self._optimizer = build_optimizer(self._model, config["optimizer"])
        batch = made_batch(options["batch"], options["crop"], classes, subclasses)
        self._batch = tensors(batch, pinned=on_gpu)

    def launch(self) -> torch.Tensor:
        batch = {name: tensor.cuda(non_blocking=True) for name, tensor in self._batch.items()}
        self._optimizer.zero_grad()
        loss, _, _ = self._model(**batch, epoch=0)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def flops(self) -> int:
        with FlopCounterMode(display=False) as counter:
            self.once()
        return counter.get_total_flops()


def build_model(root: Path, config: dict, classes: int, subclasses: int) -> torch.nn.Module:
    """`models.USRN` of the checkout, in training mode."""
    sys.path.insert(0, str(root))
    _stand_in("base", BaseModel=_load(root / "base" / "base_model.py").BaseModel)
    _stand_in("utils.helpers", initialize_weights=None)  # of PSPNet alone
    import models
    from models.modeling.backbone.resnet_AuxLayers234 import ResNet_AuxLayers234
    from utils.losses import CE_loss

    ResNet_AuxLayers234._load_pretrained_model = lambda self: None
    conf = config["model"] | {"n_labeled_examples": config["n_labeled_examples"]}
    model = models.USRN(classes, conf, sup_loss=CE_loss, ignore_index=config["ignore_index"])
    model.split_list = split_list(classes, subclasses)
    model.num_classes_subcls = subclasses
    model.classifier_SubCls[-1] = torch.nn.Conv2d(config["model"]["out_dim"], subclasses, kernel_size=1)
    torch.nn.init.kaiming_normal_(model.classifier_SubCls[-1].weight)
    return model.train()


def _stand_in(name: str, **attributes: object) -> None:
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(attributes)


def _load(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_optimizer(model: torch.nn.Module, config: dict) -> torch.optim.Optimizer:
    """As `base/base_trainer.py` builds it."""
    groups = [
        {"params": list(model.get_other_params())},
        {"params": list(model.get_backbone_params()), "lr": config["args"]["lr"] / 10},
    ]
    return getattr(torch.optim, config["type"])(groups, **config["args"])


def tensors(batch: dict, pinned: bool) -> dict[str, torch.Tensor]:
    """The arguments of the model, in host memory, as its data loaders give them."""
    images = {
        name: torch.from_numpy(batch[name]).permute(0, 3, 1, 2).float() / 127.5 - 1
        for name in ("labelled", "weak")
    }
    found = {
        "x_l": images["labelled"].contiguous(),
        "x_ul": torch.stack([images["weak"], images["weak"].flip(1)], dim=1).contiguous(),
        "target_l": torch.from_numpy(batch["labels"]).long(),
        "target_l_subcls": torch.from_numpy(batch["sublabels"]).long(),
    }
    return {name: tensor.pin_memory() for name, tensor in found.items()} if pinned else found


if __name__ == "__main__":
    serve(OfficialStep)
