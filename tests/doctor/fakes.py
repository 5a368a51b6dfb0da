"""Backends that load in no time, for processes that are started with PYTHONPATH."""

from __future__ import annotations

from pathlib import Path

KERAS = "__version__ = '3.15.0'\n"

TORCH = """
import time, warnings

class Array:
    def __init__(self, dtype): self.seconds = {"float32": 0.02, "bfloat16": 0.01}[dtype]
    def sum(self): return self
    def backward(self): time.sleep(self.seconds)

float32, bfloat16 = "float32", "bfloat16"
def ones(*shape, dtype, device, requires_grad): return Array(dtype)

class nn:
    class functional:
        conv2d = staticmethod(lambda x, kernel, padding: x)

class backends:
    class mps: is_available = staticmethod(lambda: False)
    class cudnn: allow_tf32 = True

class Properties:
    name, total_memory, major, minor = "NVIDIA H200", 150 * 10**9, 9, 0

class cuda:
    gpus = {gpus}
    @classmethod
    def is_available(cls):
        if not cls.gpus: warnings.warn("CUDA initialization: no driver")
        return bool(cls.gpus)
    @classmethod
    def device_count(cls): return cls.gpus
    get_device_properties = staticmethod(lambda index: Properties)
    synchronize = staticmethod(lambda: None)
"""

JAX = """
import types
class Device: platform = device_kind = "cpu"
def devices(): return [Device]
config = types.SimpleNamespace(jax_default_matmul_precision=None)
"""

TENSORFLOW = """
class config:
    list_physical_devices = staticmethod(lambda kind: [])
    class experimental:
        tensor_float_32_execution_enabled = staticmethod(lambda: True)
"""


def write_fakes(folder: Path, gpus: int = 0, **texts: str) -> Path:
    """Modules keras, torch, jax and tensorflow, or other texts for them; the folder is for PYTHONPATH."""
    folder.mkdir(exist_ok=True)
    modules = {
        "keras": KERAS,
        "torch": TORCH.replace("{gpus}", str(gpus)),
        "jax": JAX,
        "tensorflow": TENSORFLOW,
    }
    for name, text in (modules | texts).items():
        (folder / f"{name}.py").write_text(text)
    return folder
