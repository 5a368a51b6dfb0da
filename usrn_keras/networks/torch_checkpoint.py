"""Load a checkpoint of PyTorch, `.pth` or `.safetensors`, into a network with the same layers.

Only tensors are read: a `.pth` file with `weights_only=True`, which runs no code of the file, and safetensors
cannot hold code.

The map of names: a Keras layer `layer1_0_conv1` reads `layer1.0.conv1.weight`. A kernel `(out, in, height,
width)` becomes `(height, width, in, out)`. A batch normalisation reads `weight`, `bias`, `running_mean` and
`running_var` as scale, offset, mean and variance. ConvNeXt has other names, see `convnext_checkpoint`, and
the kernel `(out, in)` of a dense layer becomes `(in, out)`. Further tensors, such as the classifier `fc`, are
left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from usrn_keras.errors import BackendError, WeightsError
from usrn_keras.networks.convnext_checkpoint import convnext_names, is_convnext

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
WRAPPERS = ("state_dict", "model", "model_state_dict", "teacher")  # keys below which trainers put the tensors
PREFIXES = ("", "module.", "backbone.", "module.backbone.", "encoder.", "model.")
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
HEADER_LIMIT = 100_000_000  # bytes, as in the reference implementation of safetensors
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def load_torch_weights(model: keras.Model, path: Path) -> None:
    """Load the tensors of a checkpoint of torchvision or timm.

    Args:
        model: Network whose layers have the names of the checkpoint, with `_` for dots, or a ConvNeXt of
            keras.applications.
        path: Path of a `.pth`, `.pt`, `.bin` or `.safetensors` file.

    Raises:
        WeightsError: The file is damaged or does not fit; the message lists every tensor that differs.
        BackendError: A `.pth` file needs PyTorch, which is not installed.
    """
    found, names = _known_names(read_tensors(path), model)
    values: list[tuple[keras.Variable, np.ndarray]] = []
    errors = []
    for name, variable in names:
        value = _converted(found.get(name), variable)
        shape = None if value is None else value.shape
        if shape != tuple(variable.shape):
            received = "the file has none" if shape is None else f"the file has {shape}"
            errors.append(f"{name}: the network needs {tuple(variable.shape)}, {received}")
        else:
            values.append((variable, value))
    if errors:
        raise WeightsError(
            f"network.weights: {path} does not fit {model.name} ({len(errors)} tensors differ)",
            errors=errors[:40],
            hint="Checkpoints of torchvision and timm fit the backbones torchvision/resnet18 to resnet152 of "
            "width 1, and those of ConvNeXt keras/convnexttiny to keras/convnextxlarge.",
        )
    for variable, value in values:
        variable.assign(value)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read all floating-point tensors of a checkpoint as float32.

    Args:
        path: Path of a `.pth`, `.pt`, `.bin` or `.safetensors` file.

    Raises:
        WeightsError: The file is damaged, or holds more than tensors.
        BackendError: PyTorch is required and not installed.
    """
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    if find_spec("torch") is None:
        raise BackendError(
            f"network.weights: {path} needs PyTorch to be read",
            hint="pip install torch, or convert the file to .safetensors on a machine that has it.",
        )
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of zip files, pickles and the refusal of code
        raise WeightsError(
            f"network.weights: {path} is not a file of tensors alone: {str(error).splitlines()[0]}",
            hint="Save the state dict alone, torch.save(model.state_dict(), path); code is not run.",
        ) from None
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(f"network.weights: {path} has no state dict, received {type(content).__name__}")
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    return {name: value.float().numpy() for name, value in tensors.items() if value.is_floating_point()}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read the format of safetensors: a length, a JSON header with types, shapes and places, and the data."""
    try:
        data = np.memmap(path, np.uint8, "r")
        length = int(data[:8].view("<u8")[0])
        if length > min(HEADER_LIMIT, len(data) - 8):
            raise ValueError(f"its header of {length} bytes is longer than the file")
        header = json.loads(bytes(data[8 : 8 + length]))
        header.pop("__metadata__", None)
        return {
            name: _tensor(data[8 + length :], facts)
            for name, facts in header.items()
            if facts["dtype"] in TYPES
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise WeightsError(f"network.weights: {path} is not a safetensors file: {error}") from None


def _tensor(data: np.ndarray, facts: Mapping) -> np.ndarray:
    start, stop = facts["data_offsets"]
    dtype = np.dtype(TYPES[facts["dtype"]])
    if not 0 <= start <= stop <= len(data) or stop - start != math.prod(facts["shape"]) * dtype.itemsize:
        raise ValueError(f"the place {start} to {stop} does not fit the shape {facts['shape']}")
    values = np.frombuffer(bytes(data[start:stop]), dtype)
    if facts["dtype"] == "BF16":  # the upper half of a float32
        values = (values.astype("<u4") << 16).view("<f4")
    return values.astype(np.float32).reshape(facts["shape"])


Names = list[tuple[str, keras.Variable]]


def _known_names(tensors: dict[str, np.ndarray], model: keras.Model) -> tuple[dict[str, np.ndarray], Names]:
    """Choose the names of the variables that fit a file best, and remove what a wrapper put before them.

    Returns:
        Tensors without a prefix such as `module.`, and the name of each variable.
    """
    if is_convnext(model):
        schemes = convnext_names(model)
    else:
        schemes = [[pair for layer in model.layers for pair in _names(layer)]]
    pairs = [(prefix, names) for names in schemes for prefix in PREFIXES]
    prefix, names = max(pairs, key=lambda one: sum(f"{one[0]}{name}" in tensors for name, _ in one[1]))
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return found, names


def _converted(value: np.ndarray | None, variable: keras.Variable) -> np.ndarray | None:
    """Convert the axes of a tensor of PyTorch to those of a variable of Keras."""
    if value is None:
        return None
    if variable.ndim == 4 == value.ndim:  # (out, in, height, width)
        return value.transpose(2, 3, 1, 0)
    if variable.ndim == 2 == value.ndim:  # (out, in)
        return value.T
    if variable.ndim == 1 and value.shape[1:] == (1, 1):  # a factor of each channel
        return value.reshape(-1)
    return value


def _names(layer: keras.Layer) -> list[tuple[str, keras.Variable]]:
    """Pair the variables of a layer with their names in a checkpoint."""
    name = layer.name.replace("_", ".")
    if isinstance(layer, keras.layers.BatchNormalization):
        variables = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        return [(f"{name}.{part}", one) for part, one in zip(BATCH_NORM, variables, strict=True)]
    parts = ("weight", "bias")[: len(layer.weights)]
    return [(f"{name}.{part}", one) for part, one in zip(parts, layer.weights, strict=True)]
