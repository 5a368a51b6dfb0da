"""Backends that load in no time, for processes that are started with PYTHONPATH."""

from __future__ import annotations

from pathlib import Path

KERAS = """
import time

class config:
    policy = "float32"
    @classmethod
    def set_dtype_policy(cls, policy): cls.policy = policy

class layers:
    Conv2D = GlobalAveragePooling2D = staticmethod(lambda *arguments, **options: None)

def Input(shape): pass

class Sequential:
    def __init__(self, layers): self.seconds = {"float32": 0.02, "mixed_bfloat16": 0.01}[config.policy]
    def compile(self, optimizer, loss): pass
    def train_on_batch(self, x, y): time.sleep(self.seconds)
"""

TORCH = """
import warnings

class backends:
    class mps: is_available = staticmethod(lambda: False)

class Properties:
    name, total_memory = "NVIDIA H200", 150 * 10**9

class cuda:
    gpus = {gpus}
    @classmethod
    def is_available(cls):
        if not cls.gpus: warnings.warn("CUDA initialization: no driver")
        return bool(cls.gpus)
    @classmethod
    def device_count(cls): return cls.gpus
    get_device_properties = staticmethod(lambda index: Properties)
"""

JAX = """
class Device: platform = device_kind = "cpu"
def devices(): return [Device]
"""

TENSORFLOW = """
class config:
    list_physical_devices = staticmethod(lambda kind: [])
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
