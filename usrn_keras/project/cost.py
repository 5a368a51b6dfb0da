"""Rules of thumb for the memory and the time of a training step, so that `usrn init` builds no network.

`usrn fit RECIPE --dry-run` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.project.machine import Machine

# A pass with gradient costs three forward passes. As recipes for a CPU are proposed, USRN passes the labelled
# and the strong view through F with gradient and the weak view through both branches without: 3 + 3 + 2
# forward passes of one branch for a pair of a labelled and an unlabelled image.
BASELINE_PASSES, USRN_PASSES = 3, 8


@dataclass(frozen=True)
class Network:
    """A network that `usrn init` proposes.

    Memory is a straight line above the steps that were measured on a CPU with each backend
    (`benchmarks/results/archive/memory.csv`); on a GPU it was never measured, and the line is kept.

    Args:
        name: Its backbone.
        flops: Operations of a forward pass of one branch, per pixel of an image.
        efficiency: Share of the rate of a matrix product that training reaches (measured with torch).
        fixed_memory: Bytes that a process with a USRN step of no images would need.
        pixel_memory: Bytes for each pixel of a pair of a labelled and an unlabelled image.
    """

    name: str
    flops: float
    efficiency: float
    fixed_memory: float
    pixel_memory: float


MOBILENET = Network("keras/mobilenet", 49.5e3, 0.35, 1.75e9, 2.5e3)
RESNET50 = Network("keras_cv/resnet50", 521e3, 0.5, 2.7e9, 6e3)


def step_bytes(network: Network, batch: int, crop_size: int) -> float:
    """Memory of a USRN step, on the backend that needs most.

    Args:
        network: Network that is trained.
        batch: Labelled images in a batch, and unlabelled images.
        crop_size: Height and width of a crop in pixels.
    """
    return network.fixed_memory + network.pixel_memory * batch * crop_size**2


def step_seconds(network: Network, batch: int, crop_size: int, machine: Machine) -> tuple[float, float]:
    """Seconds of a step of the Baseline and of USRN with an F_sub that is not trained, on a CPU.

    Args:
        network: Network that is trained.
        batch: Labelled images in a batch, and unlabelled images.
        crop_size: Height and width of a crop in pixels.
        machine: Its rate of a matrix product is the measure.

    Example:

    >>> machine = Machine(gpu=False, memory=2**34, memory_known=True, cores=1, flops=9.6e10)
    >>> [round(seconds, 2) for seconds in step_seconds(MOBILENET, 4, 192, machine)]
    [0.65, 1.74]
    """
    forward = network.flops * batch * crop_size**2 / (machine.flops * network.efficiency)
    return BASELINE_PASSES * forward, USRN_PASSES * forward
