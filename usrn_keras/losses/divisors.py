"""Numbers of pixels that losses are divided by.

Where several processes share a batch, `usrn_keras.backends` replaces `at_least_one` by a function that counts
the pixels of all of them.
"""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def one_process_at_least_one(count: Tensor) -> Tensor:
    """Return a number of pixels, or 1 if there are none, so that a sum can be divided by it.

    Args:
        count: Number of pixels, a float32 scalar.
    """
    return ops.maximum(count, 1.0)


at_least_one = one_process_at_least_one
