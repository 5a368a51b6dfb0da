"""Read the rows of a large matrix in centred float32 blocks, and map functions over the blocks.

Every pass over all rows is a function of one block with small results, which are summed in the order of the
blocks. So the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from sklearn.utils import assert_all_finite

from usrn_keras.clustering.compiled import compiled

REBIAS = np.float32(2.0**112)  # between the exponent biases 15 and 127; exact, subnormal halves included
SPECIAL = 0x7C00  # the exponent of infinity and NaN


@compiled(nogil=True, fastmath={"nsz", "contract"})
def center_halves(bits, shift, scale, centred):  # pragma: no cover - compiled
    """Write `(x - shift) * scale`; returns whether all values are finite.

    Args:
        bits: float16 rows as `(n, features)` uint16.
        shift: Offset `(features,)` float32.
        scale: Scale, float32.
        centred: Output `(n, features)` float32, overwritten.
    """
    words = centred.view(np.uint32)
    largest = np.uint16(0)
    for i in range(bits.shape[0]):
        for f in range(bits.shape[1]):
            half = np.uint32(bits[i, f])
            words[i, f] = ((half & np.uint32(0x8000)) << np.uint32(16)) | (
                (half & np.uint32(0x7FFF)) << np.uint32(13)
            )
            largest = max(largest, np.uint16(bits[i, f] & np.uint16(SPECIAL)))
        for f in range(bits.shape[1]):
            centred[i, f] = (centred[i, f] * REBIAS - shift[f]) * scale
    return largest < SPECIAL


BLOCK = 4096  # rows in a block; fixed, because the rounding of a matrix product depends on its shape
FRAME_ROWS = 1024
LARGEST = 2.0**49  # largest coordinate in the frame: its square is far below the float32 maximum

Result = TypeVar("Result")


def map_blocks(function: Callable[[int, int], Result], rows: int, threads: int) -> Iterator[Result]:
    """Yield the results of `function(start, stop)` for every block of rows, in the order of the blocks."""
    starts = range(0, rows, BLOCK)
    stops = [min(start + BLOCK, rows) for start in starts]
    if threads == 1 or len(stops) == 1:
        yield from map(function, starts, stops)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, starts, stops)


def run_blocks(function: Callable[[int, int], None], rows: int, threads: int) -> None:
    """Call `function(start, stop)` for every block of rows."""
    for _ in map_blocks(function, rows, threads):
        pass


def sum_blocks(function: Callable[[int, int], tuple], rows: int, threads: int) -> list:
    """Sum the arrays or numbers that `function(start, stop)` returns, in the order of the blocks."""
    totals: list = []
    for part in map_blocks(function, rows, threads):
        totals = [total + value for total, value in zip(totals, part, strict=True)] if totals else list(part)
    return totals


@dataclass(frozen=True, eq=False)
class Frame:
    """Shift and power-of-two scale that keep float32 precise: `(x - shift) * scale`.

    Squared distances are differences of scores, which cancel if the rows are far from the origin.
    """

    shift: np.ndarray  # (features,) float64
    scale: float

    @classmethod
    def around(cls, rows: np.ndarray) -> Frame:
        """Fit a frame: the median is the origin and the median norm the unit, both robust to outliers."""
        wide = rows[:FRAME_ROWS].astype(np.float64)
        shift = np.median(wide, axis=0)
        if rows.dtype != np.float64:
            shift = shift.astype(np.float32).astype(np.float64)  # exactly what `apply` subtracts
        wide -= shift
        largest = np.abs(wide).max()
        if largest == 0:
            return cls(shift, 1.0)
        unit = largest * np.median(np.linalg.norm(wide / largest, axis=1))
        return cls(shift, 2.0 ** -np.floor(np.log2(max(unit, largest / LARGEST))))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Transform rows to the frame: a new C-ordered float32 array."""
        if rows.dtype == np.float16:
            return self._apply_halves(rows)
        wide = np.float64 if rows.dtype == np.float64 else np.float32
        centred = np.subtract(rows, self.shift.astype(wide), dtype=wide, order="C")
        centred *= wide(self.scale)
        return centred.astype(np.float32, copy=False)

    def _apply_halves(self, rows: np.ndarray) -> np.ndarray:
        centred = np.empty(rows.shape, np.float32)
        bits = np.ascontiguousarray(rows).view(np.uint16)
        if not center_halves(bits, self.shift.astype(np.float32), np.float32(self.scale), centred):
            assert_all_finite(rows, input_name="X")
        return centred

    def restore(self, rows: np.ndarray) -> np.ndarray:
        """Apply the inverse of `apply`, in float64."""
        return rows / self.scale + self.shift


def frame_block(data: np.ndarray, frame: Frame, start: int, stop: int) -> np.ndarray:
    """Read one block in the frame, `(rows, features)` float32.

    Raises:
        ValueError: The block contains NaN or infinity.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        centred = frame.apply(data[start:stop])
    assert_all_finite(centred, input_name="X")
    return centred


def draw_sample(
    data: np.ndarray, size: int, rng: np.random.RandomState, threads: int
) -> tuple[Frame, np.ndarray]:
    """Draw a random sample in random order, so that each prefix of it is a random sample too.

    Args:
        data: Rows `(n, features)`, which may be memory-mapped.
        size: Size of the sample.
        rng: Random generator.
        threads: Number of threads that read blocks.

    Returns:
        The frame, fitted on the sample, and the sample in the frame, `(min(size, n), features)` float32.
    """
    chosen = rng.permutation(len(data))[:size]
    first = data[np.sort(chosen[:FRAME_ROWS])]
    assert_all_finite(first, input_name="X")
    frame = Frame.around(first)
    # Rows are read in the order of the file and written in the drawn order.
    order = np.argsort(chosen)
    sample = np.empty((len(chosen), data.shape[1]), np.float32)

    def fill(start: int, stop: int) -> None:
        places = order[start:stop]
        sample[places] = frame_block(data[chosen[places]], frame, 0, stop - start)

    run_blocks(fill, len(chosen), threads)
    return frame, sample
