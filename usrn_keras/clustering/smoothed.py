"""The smoothed minimum of one row, compiled: how the row is shared out among nearly equal clusters."""

from __future__ import annotations

import numba
import numpy as np

# Everything but `ninf`: infinity stays infinity.
FAST = {"nnan", "nsz", "arcp", "contract", "reassoc"}
CUT = 12.0  # in units of eps: exp(-12) = 6e-6 of a row's mass is left out
MOST_NEAR = 24  # clusters that a row lies between; more are taken to be ties
GOLDEN = 0.6180339887498949  # multiples of it, less their whole parts, are spread evenly in 0..1
PLASTIC = 0.7548776662466927  # likewise, and evenly in the square together with the others


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def share_out(near, gaps, found, eps, mass, overlap):  # pragma: no cover - compiled
    """Adds the shares `p ~ exp(-gap / eps)` of one row to `mass`, and `p p^T` to `overlap`.

    `gaps[:found]` is overwritten by the shares. Returns how far the smoothed minimum lies below the hard one.
    """
    if found == 1:
        mass[near[0]] += 1.0
        overlap[near[0], near[0]] += 1.0
        return 0.0
    total = 0.0
    for a in range(found):
        gaps[a] = np.exp(-gaps[a] / eps)
        total += gaps[a]
    for a in range(found):
        gaps[a] /= total
        mass[near[a]] += gaps[a]
        # Without the mixed terms a step is shorter, not wrong; with them duplicates would cost K^2 each.
        for b in range(a + 1 if found <= MOST_NEAR else 0):
            overlap[near[a], near[b]] += gaps[a] * gaps[b]
    return eps * np.log(total)


@numba.njit(nogil=True, cache=True)
def is_kept(index, share):  # pragma: no cover - compiled
    """Whether a row is among an evenly spread `share` of all rows, whatever is drawn for it."""
    return (index + 1) * PLASTIC % 1.0 < share


@numba.njit(nogil=True, cache=True)
def draw(priced, eps, index):  # pragma: no cover - compiled
    """Place in `priced`, drawn with the shares of the smoothed minimum; the row's index decides."""
    least = np.inf
    for a in range(len(priced)):
        least = min(least, priced[a])
    total = 0.0
    for a in range(len(priced)):
        total += np.exp((least - priced[a]) / eps)
    left = (index + 1) * GOLDEN % 1.0 * total
    for a in range(len(priced)):
        left -= np.exp((least - priced[a]) / eps)
        if left <= 0.0:
            return a
    return len(priced) - 1
