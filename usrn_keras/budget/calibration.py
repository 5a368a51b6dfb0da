"""What each backend makes of the bytes that are counted: the numbers that were measured.

    python benchmarks/memory.py --backends torch jax tensorflow
    python benchmarks/memory.py --fit

The first trains real steps in processes of their own and adds to benchmarks/results/memory.csv, the second
prints this table from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """Memory of a step from what is counted in the graph of the network.

    Args:
        process: Bytes of a process with the backend and the network's code loaded, before any network.
        start: Bytes that the first step adds for good, whatever the network: threads, kernels, code.
        call: Bytes that compiling takes for each call of a layer in the step.
        state: Copies of weights and momentum.
        gradients: Copies of all gradients that are held at once, where they are not accumulated.
        kept: Copies of what is kept for the gradients.
        work: Copies of the largest layer, inputs and outputs.
        labelled_logits: Copies of the logits of the labelled images, at stride 4, in their losses.
        unlabelled_logits: The same of one unlabelled view, at stride 8.
        overlap: Share of what the labelled images keep that is still held when the unlabelled are at work.
        measured: Whether these were measured.
    """

    process: float
    start: float
    call: float
    state: float
    gradients: float
    kept: float
    work: float
    labelled_logits: float
    unlabelled_logits: float
    overlap: float
    measured: bool = True


MB = 1e6

CPU = {
    "torch": Calibration(750 * MB, 84 * MB, 0, 1.03, 0.02, 1.23, 1.43, 23.36, 4.0, 0.0),
    "jax": Calibration(680 * MB, 230 * MB, 0.95 * MB, 1.05, 0.87, 0.88, 0.91, 16.05, 4.19, 0.77),
    "tensorflow": Calibration(920 * MB, 283 * MB, 0.16 * MB, 1.33, 1.04, 0.76, 1.41, 14.0, 2.05, 0.38),
}

# Of the device alone: the process lives in the machine's memory. Not measured on a GPU.
GPU = {
    name: Calibration(0, 600 * MB, 0, 1.0, min(1.0, cpu.gradients), 1.0, 2.0, cpu.labelled_logits,
                      cpu.unlabelled_logits, cpu.overlap, measured=False)
    for name, cpu in CPU.items()
}  # fmt: skip


def calibration(backend: str, *, gpu: bool = False) -> Calibration:
    """The numbers of a backend."""
    return (GPU if gpu else CPU)[backend]
