"""Backends that load in no time, for processes that are started with PYTHONPATH."""

from __future__ import annotations

from pathlib import Path

KERAS = "import time\n"

TORCH = """
import warnings

class backends:
    class mps: is_available = staticmethod(lambda: False)

class One:
    item = staticmethod(lambda: {computes})

def ones(shape, device): return One

class nn:
    class functional: conv2d = staticmethod(lambda image, kernel: image)

class cuda:
    gpus = {gpus}
    @classmethod
    def is_available(cls):
        if not cls.gpus: warnings.warn("CUDA initialization: no driver")
        return bool(cls.gpus)
    @classmethod
    def device_count(cls): return cls.gpus
    get_device_name = staticmethod(lambda index: "NVIDIA H200")
"""

JAX = """
class Device: platform = device_kind = "cpu"
def devices(): return [Device]

class numpy:
    class ones:
        def __init__(self, shape): pass
        def item(self): pass

class lax: conv = staticmethod(lambda image, kernel, stride, padding: image)
"""

TENSORFLOW = """
class config:
    list_physical_devices = staticmethod(lambda kind: [])
    class experimental: get_device_details = None

class ones:
    def __init__(self, shape): pass
    def numpy(self): pass

class nn: conv2d = staticmethod(lambda image, kernel, stride, padding: image)
"""


def write_fakes(folder: Path, gpus: int = 0, computes: str = "9.0", **texts: str) -> Path:
    """Modules keras, torch, jax and tensorflow, or other texts for them; the folder is for PYTHONPATH."""
    folder.mkdir(exist_ok=True)
    modules = {
        "keras": KERAS,
        "torch": TORCH.replace("{gpus}", str(gpus)).replace("{computes}", computes),
        "jax": JAX,
        "tensorflow": TENSORFLOW,
    }
    for name, text in (modules | texts).items():
        (folder / f"{name}.py").write_text(text)
    return folder
