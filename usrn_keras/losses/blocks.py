"""Blocks of rows: large maps of logits are computed a few rows at a time, and never stored as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any

BLOCK_BYTES = 8e6  # size of a block of upsampled logits: about the size of the caches of a CPU
GPU_BLOCK_BYTES = 256e6  # on a GPU, which needs few large kernels
UNKNOWN_BATCH = 8  # images assumed for a block if the batch size is unknown while the graph is traced


def on_gpu() -> bool:
    """Whether tensors are on a GPU; `usrn_keras.backends` replaces it with the function of the backend."""
    return False


def map_blocks(function: Callable, blocks: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Apply `function` to each of some blocks, as `keras.ops.map` does, and to a single one without a loop.

    Args:
        function: Function of a tuple of tensors that returns a tuple of tensors.
        blocks: Tensors whose first axis counts the blocks.
    """
    if blocks[0].shape[0] != 1:
        return ops.map(function, blocks)
    return tuple(ops.expand_dims(found, 0) for found in function(tuple(one[0] for one in blocks)))


def blocks_of_rows(height: int, row_bytes: float, block_bytes: float | None = None) -> int:
    """Compute the smallest number of equal blocks of rows that a size allows.

    Args:
        height: Number of rows.
        row_bytes: Size of a row of all images in bytes.
        block_bytes: Largest size of a block in bytes; None for `BLOCK_BYTES`, on a GPU `GPU_BLOCK_BYTES`.

    Returns:
        The number of blocks; `height` if a single row exceeds `block_bytes`.
    """
    default = GPU_BLOCK_BYTES if on_gpu() else BLOCK_BYTES
    most = default if block_bytes is None else block_bytes
    fitting = (n for n in range(1, height + 1) if height % n == 0 and height / n * row_bytes <= most)
    return next(fitting, height)
