"""Sizes that suit a data set and a machine: network, crop, batch, steps, subclasses.

No backend is loaded: memory, cores and speed are looked up, and the time and memory of a training step are
estimated without building the network. `usrn fit RECIPE --dry-run` builds it and says more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usrn_keras.machine import (
    available_memory,
    has_nvidia_gpu,
    matrix_product_rate,
    nvidia_gpus,
    usable_cores,
)
from usrn_keras.subclasses import class_balance_rate, subclass_counts

GIB = 2**30
ASSUMED_GPU_MEMORY = 16 * GIB  # where the driver does not report it


@dataclass(frozen=True)
class Machine:
    """What training will run on.

    Args:
        gpu: Whether an NVIDIA GPU is to be used.
        memory: Bytes that training may use: free memory, or that of the GPU.
        memory_known: Whether `memory` was found rather than assumed.
        cores: Cores that this process may use.
        flops: Floating-point operations per second of a matrix product on all cores; 0 for a GPU, which
            is not measured.
    """

    gpu: bool
    memory: int
    memory_known: bool
    cores: int
    flops: float


def look_at_machine(gpu: bool | None = None) -> Machine:
    """The machine as it is; `gpu` None looks for the device file of an NVIDIA GPU."""
    use_gpu = has_nvidia_gpu() if gpu is None else gpu
    if not use_gpu:
        return Machine(False, available_memory(), True, usable_cores(), matrix_product_rate())
    gpus = nvidia_gpus()
    found = gpus[0].total if gpus else None
    return Machine(True, found or ASSUMED_GPU_MEMORY, found is not None, usable_cores(), 0.0)


# A pass with gradient costs three forward passes. As recipes for a CPU are proposed, USRN passes the labelled
# and the strong view through F with gradient and the weak view through both branches without: 3 + 3 + 2
# forward passes of one branch for a pair of a labelled and an unlabelled image.
BASELINE_PASSES, USRN_PASSES = 3, 8


@dataclass(frozen=True)
class ProposedNetwork:
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


MOBILENET = ProposedNetwork("keras/mobilenet", 49.5e3, 0.35, 1.75e9, 2.5e3)
RESNET50 = ProposedNetwork("keras_cv/resnet50", 521e3, 0.5, 2.7e9, 6e3)


def step_bytes(network: ProposedNetwork, batch: int, crop_size: int) -> float:
    """Memory of a USRN step, on the backend that needs most.

    Args:
        network: Network that is trained.
        batch: Labelled images in a batch, and unlabelled images.
        crop_size: Height and width of a crop in pixels.
    """
    return network.fixed_memory + network.pixel_memory * batch * crop_size**2


def step_seconds(
    network: ProposedNetwork, batch: int, crop_size: int, machine: Machine
) -> tuple[float, float]:
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


MAX_PER_CLASS = 32
PASSES = 80  # over the training images, as the official code
FEATURES_PER_SUBCLASS = 500  # fewer feature pixels make no stable subclass
SIZE_FACTORS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000, 3000, 10_000, 100_000, 10**6)
LARGE = 1.5  # times the long side of training: such images are brought down when they are measured


@dataclass(frozen=True, eq=False)
class Proposal:
    """Values of a recipe.

    Args:
        network: Backbone and its cost.
        long_side, crop_size: In pixels.
        scale: Of whole images when they are measured, so that they are as large as in training.
        batch: Labelled images, and unlabelled ones, in a batch.
        baseline_steps, usrn_steps: Steps.
        size_factor, max_subclasses: Of the subclasses.
        counts: `(classes,)`, K_c: the subclasses that these give; 0 for a class without labelled pixels.
        rates: Class balance rate of the labelled pixels now, and expected of the subclasses.
        seconds: Rough time of all steps; None for a GPU.
        memory: Bytes that a step needs.
    """

    network: ProposedNetwork
    long_side: int
    crop_size: int
    scale: float
    batch: int
    baseline_steps: int
    usrn_steps: int
    size_factor: int
    max_subclasses: int
    counts: np.ndarray
    rates: tuple[float, float]
    seconds: float | None
    memory: float


def propose(
    sizes: Sequence[tuple[int, int]], pixels: np.ndarray, machine: Machine, *, labelled: int, unlabelled: int
) -> Proposal:
    """Propose a recipe.

    Args:
        sizes: Height and width of the images.
        pixels: `(classes,)` labelled pixels of each class.
        machine: What it will run on.
        labelled, unlabelled: Training images.
    """
    network = RESNET50 if machine.gpu else MOBILENET
    long_side, crop_size, scale = _view(sizes, machine.gpu)
    batch = _batch(network, crop_size, machine)
    baseline_steps, usrn_steps = _steps(labelled, unlabelled, batch, machine.gpu)
    size_factor, counts = _subclasses(pixels, 256 if machine.gpu else 128)
    seconds = None
    if not machine.gpu:
        baseline, usrn = step_seconds(network, batch, crop_size, machine)
        seconds = baseline * baseline_steps + usrn * usrn_steps
    present = counts > 0
    expected = np.repeat(pixels[present] // counts[present], counts[present])
    return Proposal(
        network, long_side, crop_size, scale, batch, baseline_steps, usrn_steps, size_factor,
        MAX_PER_CLASS, counts, (class_balance_rate(pixels), class_balance_rate(expected)),
        seconds, step_bytes(network, batch, crop_size),
    )  # fmt: skip


def _view(sizes: Sequence[tuple[int, int]], gpu: bool) -> tuple[int, int, float]:
    """Long side at scale 1, crop, and the scale of images that are much larger."""
    largest = 1024 if gpu else 512
    long_sides = np.array([max(size) for size in sizes])
    typical = int(np.median(long_sides))
    long_side = min(typical, largest)
    wanted = min(0.8 * long_side, 512 if gpu else 192)
    crop_size = max(32, int(wanted) // 32 * 32)
    scale = long_side / typical if typical > LARGE * long_side else 1.0
    return long_side, crop_size, round(scale, 3)


def _batch(network: ProposedNetwork, crop_size: int, machine: Machine) -> int:
    """The largest usual batch whose step takes at most half of the memory."""
    choices = (8, 4, 2) if machine.gpu else (4, 2)
    share = 0.8 if machine.gpu else 0.5
    fitting = [batch for batch in choices if step_bytes(network, batch, crop_size) <= share * machine.memory]
    return fitting[0] if fitting else choices[-1]


def _steps(labelled: int, unlabelled: int, batch: int, gpu: bool) -> tuple[int, int]:
    """`PASSES` over all training images, within bounds: an hour or two of a CPU.

    On a CPU USRN goes on from the Baseline, which has learnt what few labels tell in fewer steps.
    """
    least, most = (2000, 100_000) if gpu else (800, 5000)
    usrn = int(np.clip(PASSES * (labelled + unlabelled) / batch, least, most))
    usrn = round(usrn / 50) * 50
    return (usrn if gpu else usrn // 2), usrn


def _subclasses(pixels: np.ndarray, most: int) -> tuple[int, np.ndarray]:
    """The smallest size factor that leaves each subclass enough features and the network small enough."""
    limit = int(min(most, pixels.sum() / 16 / FEATURES_PER_SUBCLASS))
    limit = max(limit, np.count_nonzero(pixels))
    for factor in SIZE_FACTORS:
        counts = subclass_counts(pixels, size_factor=factor, max_subclasses=MAX_PER_CLASS)
        if counts.sum() <= limit:
            break
    return factor, counts
