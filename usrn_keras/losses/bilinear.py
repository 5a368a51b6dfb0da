"""Bilinear upsampling by an integer factor along one axis, and its transpose."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def upsample(values: Tensor, factor: int, *, axis: int) -> Tensor:
    """Upsample `values` along one axis by linear interpolation with half-pixel centres.

    Values beyond the ends are those of the border, as in `keras.layers.UpSampling2D` with
    `interpolation="bilinear"`, which equals `upsample` along both axes.

    Args:
        values: Tensor of any shape.
        factor: Upsampling factor, at least 1.
        axis: Axis to upsample.

    Returns:
        Tensor of the same shape, with `factor` times the size along `axis`.

    Example:

    >>> import numpy as np
    >>> [float(value) for value in upsample(np.array([0.0, 4.0], "float32"), 2, axis=0)]
    [0.0, 1.0, 3.0, 4.0]
    """
    if factor == 1:
        return values
    before, after = _neighbours(values, axis)
    phases = [
        values * (1 - abs(shift)) + (before if shift < 0 else after) * abs(shift) for shift in _shifts(factor)
    ]
    return _merge(ops.stack(phases, axis=axis + 1), axis)


def upsample_transposed(values: Tensor, factor: int, *, axis: int) -> Tensor:
    """Apply the transpose of the linear map `upsample`, which propagates its gradient backward.

    Args:
        values: Tensor of any shape, whose size along `axis` is a multiple of `factor`.
        factor: Upsampling factor, at least 1.
        axis: Axis to reduce.

    Returns:
        Tensor of the same shape, with the size along `axis` divided by `factor`.
    """
    if factor == 1:
        return values
    shape = _shape(values)
    values = ops.reshape(values, (*shape[:axis], shape[axis] // factor, factor, *shape[axis + 1 :]))
    phases = [_at(values, phase, axis + 1) for phase in range(factor)]
    shifts = _shifts(factor)
    own = sum(phase * (1 - abs(shift)) for phase, shift in zip(phases, shifts, strict=True))
    before = sum(phase * -shift for phase, shift in zip(phases, shifts, strict=True) if shift < 0)
    after = sum(phase * shift for phase, shift in zip(phases, shifts, strict=True) if shift > 0)
    count = own.shape[axis]
    if count == 1:
        return own + before + after
    # A value read from a neighbour returns to that neighbour; at the ends the border value was read.
    two_first = _span(before, 0, 1, axis) + _span(before, 1, 2, axis)
    two_last = _span(after, count - 2, count - 1, axis) + _span(after, count - 1, count, axis)
    zero = ops.zeros_like(two_first)
    before = ops.concatenate([two_first, _span(before, 2, count, axis), zero], axis)
    after = ops.concatenate([zero, _span(after, 0, count - 2, axis), two_last], axis)
    return own + before + after


def _shifts(factor: int) -> list[float]:
    """Offset of each new value from the nearest old value, in units of the old spacing."""
    return [(phase + 0.5) / factor - 0.5 for phase in range(factor)]


def _neighbours(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    count = values.shape[axis]
    first, last = _span(values, 0, 1, axis), _span(values, count - 1, count, axis)
    before = ops.concatenate([first, _span(values, 0, count - 1, axis)], axis)
    after = ops.concatenate([_span(values, 1, count, axis), last], axis)
    return before, after


def _span(values: Tensor, begin: int, end: int, axis: int) -> Tensor:
    return values[(slice(None),) * axis + (slice(begin, end),)]


def _at(values: Tensor, index: int, axis: int) -> Tensor:
    return values[(slice(None),) * axis + (index,)]


def _merge(values: Tensor, axis: int) -> Tensor:
    """`(..., n, factor, ...)` -> `(..., n * factor, ...)`"""
    shape = _shape(values)
    return ops.reshape(values, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def _shape(values: Tensor) -> tuple[int, ...]:
    """Shape for a reshape: the batch size is -1 if it is unknown while the graph is traced."""
    return tuple(-1 if size is None else size for size in values.shape)
