"""Checkpoints of torchvision and timm give the features that PyTorch computes from them."""

from __future__ import annotations

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from usrn_keras.errors import WeightsError
from usrn_keras.networks.pretrained_weights import load_weights_file
from usrn_keras.networks.torch_checkpoint import read_tensors
from usrn_keras.networks.torchvision_resnet import torchvision_resnet

torch = pytest.importorskip("torch")
BLOCKS = (1, 2, 1, 1)


class Block(torch.nn.Module):
    """A block as in torchvision.models.resnet, with its names."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        steps = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        steps = steps if bottleneck else [(inputs, width, 3, stride), (width, outputs, 3, 1)]
        for number, (a, b, kernel, step) in enumerate(steps, start=1):
            layer = torch.nn.Conv2d(a, b, kernel, step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{number}", layer)
            self.add_module(f"bn{number}", torch.nn.BatchNorm2d(b))
        self.steps = len(steps)
        if stride > 1 or inputs != outputs:
            layer = torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = torch.nn.Sequential(layer, torch.nn.BatchNorm2d(outputs))
        self.outputs = outputs

    def forward(self, x):
        y = x
        for number in range(1, self.steps + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.steps else y
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet(torch.nn.Module):
    """The ResNet of torchvision with few channels and a classifier, all weights made up."""

    def __init__(self, bottleneck: bool):
        super().__init__()
        channels = [16, 32, 64, 128]
        self.conv1 = torch.nn.Conv2d(3, channels[0], 7, 2, padding=3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(channels[0])
        inputs = channels[0]
        for stage, count in enumerate(BLOCKS):
            blocks = []
            for block in range(count):
                blocks.append(Block(inputs, channels[stage], 2 if stage and not block else 1, bottleneck))
                inputs = blocks[-1].outputs
            self.add_module(f"layer{stage + 1}", torch.nn.Sequential(*blocks))
        self.fc = torch.nn.Linear(inputs, 10)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, value in self.state_dict().items():
                if value.is_floating_point():
                    value.copy_(
                        torch.randn(value.shape, generator=generator) * 0.05 + ("running_var" in name)
                    )

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.nn.functional.max_pool2d(x, 3, 2, padding=1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x


def features_of(reference: ResNet, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return reference.eval()(torch.tensor(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()


def write_safetensors(path, tensors: dict[str, torch.Tensor], name: str = "F32") -> None:
    """A file in the published layout, written without this package's reader."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, value in tensors.items():
        content = value.contiguous().view(torch.uint8).numpy().tobytes() if value.ndim else b""
        offsets = [len(data), len(data) + len(content)]
        header[key] = {"dtype": name, "shape": list(value.shape), "data_offsets": offsets}
        data += content
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


def floats(reference: ResNet) -> dict[str, torch.Tensor]:
    return {name: value for name, value in reference.state_dict().items() if value.is_floating_point()}


@pytest.mark.parametrize("bottleneck", [True, False])
def test_features_equal_those_of_pytorch(tmp_path, bottleneck):
    reference = ResNet(bottleneck)
    wrapped = {"state_dict": {f"module.{name}": value for name, value in reference.state_dict().items()}}
    torch.save(reference.state_dict(), tmp_path / "plain.pth")
    torch.save(wrapped, tmp_path / "wrapped.pt")
    write_safetensors(tmp_path / "model.safetensors", floats(reference))
    images = np.random.default_rng(0).normal(size=(2, 64, 96, 3)).astype("float32")
    expected = features_of(reference, images)
    assert np.abs(expected).max() > 0.1
    for name in ("plain.pth", "wrapped.pt", "model.safetensors"):
        model = torchvision_resnet(0.25, blocks=BLOCKS, bottleneck=bottleneck)
        load_weights_file(model, str(tmp_path / name))
        found = keras.ops.convert_to_numpy(model(images, training=False))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5, err_msg=name)


def test_sixteen_bits(tmp_path):
    value = torch.tensor([[1.5, -2.0, 3.25]])
    write_safetensors(tmp_path / "a.safetensors", {"x": value.bfloat16()}, "BF16")
    write_safetensors(tmp_path / "b.safetensors", {"x": value.half()}, "F16")
    for name in ("a", "b"):
        np.testing.assert_array_equal(read_tensors(tmp_path / f"{name}.safetensors")["x"], value.numpy())


def test_a_checkpoint_of_another_network_names_every_tensor(tmp_path):
    state = ResNet(bottleneck=True).state_dict()
    state["conv1.weight"] = state["conv1.weight"][:8]
    del state["layer1.0.bn2.running_mean"]
    torch.save(state, tmp_path / "other.pth")
    model = torchvision_resnet(0.25, blocks=BLOCKS, bottleneck=True)
    before = model.get_weights()
    with pytest.raises(WeightsError) as error:
        load_weights_file(model, str(tmp_path / "other.pth"))
    assert "(2 tensors differ)" in str(error.value)
    assert "conv1.weight: the network needs (7, 7, 3, 16), the file has (7, 7, 3, 8)" in str(error.value)
    assert "layer1.0.bn2.running_mean: the network needs (16,), the file has none" in str(error.value)
    assert all((ours == theirs).all() for ours, theirs in zip(before, model.get_weights(), strict=True))


class Evil:
    def __reduce__(self):
        return (print, ("code of the file ran",))


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="is not a file of tensors alone"):
        read_tensors(tmp_path / "evil.pth")
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [b"", b"12", (2**40).to_bytes(8, "little") + b"{}", b"\x02" + 7 * b"\0" + b"[]"]
)
def test_damaged_safetensors(tmp_path, content):
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        read_tensors(tmp_path / "bad.safetensors")


def test_a_keras_file_of_the_same_network(tmp_path):
    model, other = (torchvision_resnet(0.25, blocks=(1, 1, 1, 1), bottleneck=False) for _ in range(2))
    model.save(tmp_path / "model.keras")
    load_weights_file(other, str(tmp_path / "model.keras"))
    assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    wider = torchvision_resnet(0.5, blocks=(1, 1, 1, 1), bottleneck=False)
    with pytest.raises(WeightsError, match=r"tensor 0 \(conv1/kernel\): the network needs \(7, 7, 3, 32\)"):
        load_weights_file(wider, str(tmp_path / "model.keras"))


def test_a_keras_file_of_somebody_else_is_checked_before_it_is_unpacked(tmp_path):
    model = torchvision_resnet(0.25, blocks=(1, 1, 1, 1), bottleneck=False)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "a") as archive:
        archive.writestr("../../outside", "text")
    with pytest.raises(WeightsError, match=r"model\.keras cannot be loaded .* nothing else"):
        load_weights_file(model, str(tmp_path / "model.keras"))


def test_an_hdf5_file_that_links_to_another_file_is_refused(tmp_path):
    model = torchvision_resnet(0.25, blocks=(1, 1, 1, 1), bottleneck=False)
    model.save_weights(tmp_path / "other.weights.h5")
    model.save_weights(tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "w.weights.h5", "a") as content:
        content["more"] = h5py.ExternalLink("other.weights.h5", "/")
    with pytest.raises(WeightsError, match="links to another file"):
        load_weights_file(model, str(tmp_path / "w.weights.h5"))


@pytest.mark.parametrize(("name", "parameters"), [("resnet18", 11_176_512), ("resnet50", 23_508_032)])
def test_parameters_as_published(name, parameters):
    """torchvision's ResNet-18 has 11,689,512 parameters and ResNet-50 25,557,032, with their classifiers."""
    from usrn_keras.networks.backbones import find_backbone

    model = find_backbone(f"torchvision/{name}").build(1.0)
    counted = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    classifier = 1000 * (model.output_shape[-1] + 1)
    assert counted == parameters and counted + classifier in (11_689_512, 25_557_032)
