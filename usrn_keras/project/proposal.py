"""Propose network, crop, batch, steps and subclasses for a data set and a machine.

No backend is loaded: memory, cores and speed are read from the system, and time and memory of a training step
are estimated without building the network. `usrn fit RECIPE --dry-run` measures them.
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
ASSUMED_GPU_MEMORY = 16 * GIB  # if the driver does not report it


@dataclass(frozen=True)
class Machine:
    """Machine that the recipe is for.

    Args:
        gpu: Whether an NVIDIA GPU is used.
        memory: Memory available to training in bytes: free memory, or that of the GPU.
        memory_known: Whether `memory` was detected instead of assumed.
        cores: Number of cores that this process may use.
        flops: Floating-point operations per second of a matrix product on all cores; 0 for a GPU, which is
            not measured.
    """

    gpu: bool
    memory: int
    memory_known: bool
    cores: int
    flops: float


def detect_machine(gpu: bool | None = None) -> Machine:
    """Detect the machine; with `gpu=None`, look for the device file of an NVIDIA GPU."""
    use_gpu = has_nvidia_gpu() if gpu is None else gpu
    if not use_gpu:
        return Machine(False, available_memory(), True, usable_cores(), matrix_product_rate())
    gpus = nvidia_gpus()
    found = gpus[0].total if gpus else None
    return Machine(True, found or ASSUMED_GPU_MEMORY, found is not None, usable_cores(), 0.0)


# A pass with gradient costs three forward passes. In the recipes proposed for a CPU, the labelled and the
# strong view pass through F with gradient, and the weak view through both branches without: 3 + 3 + 2 forward
# passes of one branch for a pair of a labelled and an unlabelled image.
BASELINE_PASSES, USRN_PASSES = 3, 8


@dataclass(frozen=True)
class ProposedNetwork:
    """A network that `usrn init` proposes.

    Memory is a linear upper bound of the steps measured on a CPU with each backend
    (`benchmarks/results/archive/memory.csv`); it was not measured on a GPU, where the same bound is used.

    Args:
        name: Name of the backbone.
        flops: Operations of a forward pass of one branch, per pixel of an image.
        efficiency: Speed of training relative to a matrix product (measured with torch).
        fixed_memory: Memory in bytes that does not depend on the batch.
        pixel_memory: Memory in bytes per pixel of a pair of a labelled and an unlabelled image.
    """

    name: str
    flops: float
    efficiency: float
    fixed_memory: float
    pixel_memory: float


MOBILENET = ProposedNetwork("keras/mobilenet", 49.5e3, 0.35, 1.75e9, 2.5e3)
RESNET50 = ProposedNetwork("keras_cv/resnet50", 521e3, 0.5, 2.7e9, 6e3)


def step_bytes(network: ProposedNetwork, batch: int, crop_size: int) -> float:
    """Estimate the memory of a USRN step in bytes, for the backend that needs most.

    Args:
        network: Network that is trained.
        batch: Number of labelled images in a batch, and of unlabelled images.
        crop_size: Height and width of a crop in pixels.
    """
    return network.fixed_memory + network.pixel_memory * batch * crop_size**2


def step_seconds(
    network: ProposedNetwork, batch: int, crop_size: int, machine: Machine
) -> tuple[float, float]:
    """Estimate the seconds of a step of the Baseline and of a method with a fixed F_sub, on a CPU.

    Args:
        network: Network that is trained.
        batch: Number of labelled images in a batch, and of unlabelled images.
        crop_size: Height and width of a crop in pixels.
        machine: Machine whose matrix-product rate is used.

    Example:

    >>> machine = Machine(gpu=False, memory=2**34, memory_known=True, cores=1, flops=9.6e10)
    >>> [round(seconds, 2) for seconds in step_seconds(MOBILENET, 4, 192, machine)]
    [0.65, 1.74]
    """
    forward = network.flops * batch * crop_size**2 / (machine.flops * network.efficiency)
    return BASELINE_PASSES * forward, USRN_PASSES * forward


MAX_PER_CLASS = 32
PASSES = 80  # over the training images, as the official code
FEATURES_PER_SUBCLASS = 500  # minimum feature pixels for a stable subclass
SIZE_FACTORS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000, 3000, 10_000, 100_000, 10**6)
LARGE = 1.5  # images longer than this multiple of the training size are reduced for evaluation


@dataclass(frozen=True, eq=False)
class Proposal:
    """Proposed values of a recipe.

    Args:
        network: Backbone and its cost.
        long_side: Long side of an image at scale 1 in pixels.
        crop_size: Height and width of a training crop in pixels.
        scale: Scale of whole images in evaluation, so that they are as large as in training.
        batch: Number of labelled images in a batch, and of unlabelled images.
        baseline_steps: Number of training steps of the Baseline.
        usrn_steps: Number of training steps of the method.
        size_factor: Value of `subclasses.size_factor`.
        max_subclasses: Value of `subclasses.max_subclasses`.
        counts: Resulting subclasses K_c of each class, shape `(classes,)`; 0 without labelled pixels.
        rates: Class balance rates of the labelled pixels, and expected for the subclasses.
        seconds: Rough time of all steps in seconds; None for a GPU.
        memory: Memory of a step in bytes.
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
        sizes: Height and width of each image.
        pixels: Labelled pixels of each class, shape `(classes,)`.
        machine: Machine that the recipe is for.
        labelled: Number of labelled images.
        unlabelled: Number of unlabelled images.
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
    """Choose the long side at scale 1, the crop, and the evaluation scale of much larger images."""
    largest = 1024 if gpu else 512
    long_sides = np.array([max(size) for size in sizes])
    typical = int(np.median(long_sides))
    long_side = min(typical, largest)
    wanted = min(0.8 * long_side, 512 if gpu else 192)
    crop_size = max(32, int(wanted) // 32 * 32)
    scale = long_side / typical if typical > LARGE * long_side else 1.0
    return long_side, crop_size, round(scale, 3)


def _batch(network: ProposedNetwork, crop_size: int, machine: Machine) -> int:
    """Choose the largest usual batch whose step needs at most half of the memory (80 % on a GPU)."""
    choices = (8, 4, 2) if machine.gpu else (4, 2)
    share = 0.8 if machine.gpu else 0.5
    fitting = [batch for batch in choices if step_bytes(network, batch, crop_size) <= share * machine.memory]
    return fitting[0] if fitting else choices[-1]


def _steps(labelled: int, unlabelled: int, batch: int, gpu: bool) -> tuple[int, int]:
    """Choose steps for `PASSES` passes over all training images, limited to one or two hours on a CPU.

    On a CPU the method starts from the Baseline, which learns from few labels in fewer steps.
    """
    least, most = (2000, 100_000) if gpu else (800, 5000)
    usrn = int(np.clip(PASSES * (labelled + unlabelled) / batch, least, most))
    usrn = round(usrn / 50) * 50
    return (usrn if gpu else usrn // 2), usrn


def _subclasses(pixels: np.ndarray, most: int) -> tuple[int, np.ndarray]:
    """Choose the smallest size factor with enough features per subclass and a small enough network."""
    limit = int(min(most, pixels.sum() / 16 / FEATURES_PER_SUBCLASS))
    limit = max(limit, np.count_nonzero(pixels))
    for factor in SIZE_FACTORS:
        counts = subclass_counts(pixels, size_factor=factor, max_subclasses=MAX_PER_CLASS)
        if counts.sum() <= limit:
            break
    return factor, counts
