"""How long a training step takes and what memory it needs: rough, from the size of the network."""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.project.machine import Machine

PROCESS_BYTES = 1.4e9  # Python, Keras, a backend

# A training pass goes forward once and backward at twice the cost. USRN passes three views through both
# branches, the weak one of them without going back: 2 x (3 + 1 + 3) forward passes for a pair of a
# labelled and an unlabelled image.
BASELINE_PASSES, USRN_PASSES = 3, 14


@dataclass(frozen=True)
class Network:
    """A network that is proposed.

    Args:
        name: Its backbone.
        flops: Of a forward pass of one branch, per pixel of an image (counted on the built network).
        efficiency: Share of the rate of a matrix product that training reaches (measured with torch).
        fixed_bytes: Weights, gradients and momentum of both branches.
        pair_bytes: Of a USRN step, per pixel of a pair of images (measured with torch).
    """

    name: str
    flops: float
    efficiency: float
    fixed_bytes: float
    pair_bytes: float


MOBILENET = Network("keras/mobilenet", 49.5e3, 0.35, 0.1e9, 10e3)
RESNET50 = Network("keras_cv/resnet50", 521e3, 0.5, 1.0e9, 26e3)


def step_bytes(network: Network, batch: int, crop_size: int) -> float:
    """Memory of a USRN step with `batch` labelled and `batch` unlabelled images."""
    return PROCESS_BYTES + network.fixed_bytes + network.pair_bytes * batch * crop_size**2


def step_seconds(network: Network, batch: int, crop_size: int, machine: Machine) -> tuple[float, float]:
    """Seconds of a step of the Baseline and of USRN, on the cores of a machine.

    Example:

    >>> machine = Machine(gpu=False, memory=2**34, memory_known=True, cores=1, flops=9.6e10)
    >>> [round(seconds, 2) for seconds in step_seconds(MOBILENET, 4, 192, machine)]
    [0.65, 3.04]
    """
    forward = network.flops * batch * crop_size**2 / (machine.flops * network.efficiency)
    return BASELINE_PASSES * forward, USRN_PASSES * forward
