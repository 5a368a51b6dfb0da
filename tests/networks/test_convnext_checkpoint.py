"""Checkpoints of ConvNeXt of torchvision, timm and the authors give the features that PyTorch computes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.networks.test_torch_checkpoint import write_safetensors
from usrn_keras.errors import WeightsError
from usrn_keras.networks.backbones import find_backbone
from usrn_keras.networks.convnext_checkpoint import SCHEMES
from usrn_keras.networks.pretrained_weights import load_weights_file

torch = pytest.importorskip("torch")
nn = torch.nn
DEPTHS, WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """A block of the paper, with the names of torchvision: convolution, norm, two dense layers, scale."""

    def __init__(self, width: int):
        super().__init__()
        convolution = nn.Conv2d(width, width, 7, padding=3, groups=width)
        norm, gelu = nn.LayerNorm(width, eps=1e-6), nn.GELU()
        dense = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.block = nn.Sequential(convolution, nn.Identity(), norm, dense[0], gelu, dense[1])
        self.layer_scale = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x):
        y = self.block[0](x).permute(0, 2, 3, 1)
        return x + self.layer_scale * self.block[1:](y).permute(0, 3, 1, 2)


class Norm(nn.LayerNorm):
    """Normalises the channels of `(batch, channels, height, width)`."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def reference() -> nn.Module:
    """ConvNeXt-Tiny with made-up weights."""
    parts = [nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, 4), Norm(WIDTHS[0], eps=1e-6))]
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        if stage:
            before = WIDTHS[stage - 1]
            parts.append(nn.Sequential(Norm(before, eps=1e-6), nn.Conv2d(before, width, 2, 2)))
        parts.append(nn.Sequential(*(Block(width) for _ in range(depth))))
    model = nn.Module()
    model.features = nn.Sequential(*parts)
    model.classifier = nn.Sequential(Norm(WIDTHS[-1], eps=1e-6), nn.Flatten(1), nn.Linear(WIDTHS[-1], 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            spread = 1.0 if value.ndim < 2 or "layer_scale" in name else float(value[0].numel()) ** -0.5
            centre = 1.0 if name.endswith("weight") and value.ndim == 1 else 0.0
            value.copy_(centre + 0.3 * spread * torch.randn(value.shape, generator=generator))
    return model


def renamed(state: dict, scheme: str) -> dict:
    """The tensors of torchvision under the names of another library."""
    if scheme == "torchvision":
        return state
    parts = {
        "timm": {"0": "conv_dw", "2": "norm", "3": "mlp.fc1", "5": "mlp.fc2"},
        "authors": {"0": "dwconv", "2": "norm", "3": "pwconv1", "5": "pwconv2"},
    }[scheme]
    found = {}
    for name, value in state.items():
        pieces = name.split(".")
        if pieces[0] == "classifier":
            head = {"timm": {"0": "head.norm", "2": "head.fc"}, "authors": {"0": "norm", "2": "head"}}
            found[f"{head[scheme][pieces[1]]}.{pieces[2]}"] = value
        elif int(pieces[1]) % 2:  # a block
            place = f"stages.{int(pieces[1]) // 2}.{'blocks.' if scheme == 'timm' else ''}{pieces[2]}"
            if pieces[3] == "layer_scale":
                found[f"{place}.gamma"] = value.reshape(-1)
            else:
                found[f"{place}.{parts[pieces[4]]}.{pieces[5]}"] = value
        else:
            stage, rest = int(pieces[1]) // 2, ".".join(pieces[2:])
            stem = "stem" if not stage else f"stages.{stage}.downsample"
            found[f"{stem if scheme == 'timm' else f'downsample_layers.{stage}'}.{rest}"] = value
    return found


def features_of(model: nn.Module, images: np.ndarray) -> np.ndarray:
    mean, deviation = (255 * torch.tensor(one).reshape(1, 3, 1, 1) for one in (MEAN, DEVIATION))
    with torch.no_grad():
        x = (torch.tensor(images).permute(0, 3, 1, 2) - mean) / deviation
        return model.classifier[0](model.features(x)).permute(0, 2, 3, 1).numpy()


def test_features_equal_those_of_pytorch(tmp_path):
    model = reference()
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3)).astype("float32")
    expected = features_of(model, images)
    assert np.abs(expected).max() > 0.1
    network = find_backbone("keras/convnexttiny").build(1.0)
    start = [np.zeros(variable.shape, "float32") for variable in network.weights]
    for scheme in SCHEMES:
        path = tmp_path / f"{scheme}.{'safetensors' if scheme == 'timm' else 'pth'}"
        tensors = renamed(dict(model.state_dict()), scheme)
        if scheme == "timm":
            write_safetensors(path, tensors)
        else:
            torch.save({"model": tensors}, path)
        network.set_weights(start)
        load_weights_file(network, str(path))
        found = keras.ops.convert_to_numpy(network(images, training=False))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=scheme)

    state = dict(model.state_dict())
    del state["features.1.0.layer_scale"]
    state["features.2.1.weight"] = state["features.2.1.weight"][:5]
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError) as error:
        load_weights_file(network, str(tmp_path / "other.pth"))
    assert error.value.errors[0] == "features.1.0.layer_scale: the network needs (96,), the file has none"
    assert (
        "features.2.1.weight: the network needs (2, 2, 96, 192), the file has (2, 2, 96, 5)"
        in error.value.errors
    )
