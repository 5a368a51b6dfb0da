"""How long a training step takes and what memory it needs: rough, without building the network.

`usrn fit RECIPE --dry-run` builds it and tells more.
"""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.budget.calibration import CPU, GPU
from usrn_keras.budget.memory import Footprint, ImageMemory
from usrn_keras.project.machine import Machine

# A training pass goes forward once and backward at twice the cost. As CPUs are proposed to train it, USRN
# passes the labelled and the strong view through F, and the weak one through both branches without going
# back: 3 + 2 + 3 forward passes for a pair of a labelled and an unlabelled image.
BASELINE_PASSES, USRN_PASSES = 3, 8


@dataclass(frozen=True)
class Network:
    """A network that is proposed, counted once on the built network (`usrn_keras.budget`).

    Args:
        name: Its backbone.
        flops: Of a forward pass of one branch, per pixel of an image.
        efficiency: Share of the rate of a matrix product that training reaches (measured with torch).
        weights: Bytes of both branches.
        calls: Calls of layers in a step of USRN.
        kept, work, logits: Bytes of a labelled image per pixel, see `usrn_keras.budget.memory`.
    """

    name: str
    flops: float
    efficiency: float
    weights: float
    calls: int
    kept: float
    work: float
    logits: float


MOBILENET = Network("keras/mobilenet", 49.5e3, 0.35, 33.3e6, 633, 1668, 129, 32)
RESNET50 = Network("keras_cv/resnet50", 521e3, 0.5, 322.5e6, 1149, 4022, 192, 49.5)


def step_bytes(network: Network, batch: int, crop_size: int, *, gpu: bool = False) -> float:
    """Memory of a USRN step with `batch` labelled and `batch` unlabelled images, on the hungriest backend.

    Args:
        network: What is trained.
        batch: Images of each kind.
        crop_size: Height and width of a crop.
        gpu: Of a GPU rather than of the machine.
    """
    pixels = crop_size**2
    image = ImageMemory(network.kept * pixels, network.work * pixels, network.logits * pixels)
    counted = Footprint(network.weights, network.weights, network.calls, image, strong=image)
    backends = (GPU if gpu else CPU).values()
    return max(counted.memory(batch, batch, numbers).peak for numbers in backends)


def step_seconds(network: Network, batch: int, crop_size: int, machine: Machine) -> tuple[float, float]:
    """Seconds of a step of the Baseline and of USRN whose F_sub is not trained, on the cores of a machine.

    Example:

    >>> machine = Machine(gpu=False, memory=2**34, memory_known=True, cores=1, flops=9.6e10)
    >>> [round(seconds, 2) for seconds in step_seconds(MOBILENET, 4, 192, machine)]
    [0.65, 1.74]
    """
    forward = network.flops * batch * crop_size**2 / (machine.flops * network.efficiency)
    return BASELINE_PASSES * forward, USRN_PASSES * forward
