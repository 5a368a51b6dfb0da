"""Place the objects of an aerial scene: buildings and the rare classes."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.aerial_canvas import AerialCanvas, draw_mode, draw_tint, rotated
from usrn_keras.data.quickstart.looks import CLASSES, LOOKS, RARE, Look

LARGEST = 0.45  # share of the pixels of the largest class, field
GROUND = {"car": "road", "boat": "water"}  # class that an object stands on; all others: field
FROM_ROAD = {"car": (4.7, 4.7), "building": (26.0, 44.0)}  # distance from the centre line in metres
TRIES = 40


def draw_counts(rng: np.random.Generator, area: float, modes: int, imbalance: float) -> dict[str, int]:
    """Draw the number of objects of each rare class.

    Args:
        rng: Random generator.
        area: Area of the scene in square metres.
        modes: Number of looks of each class.
        imbalance: Expected ratio of the pixels of the largest class to those of the smallest.
    """
    counts = {}
    for name, share in RARE.items():
        object_area = np.mean([0.85 * look.size[0] * look.size[1] for look in LOOKS[name][:modes]])
        counts[name] = int(rng.poisson(LARGEST / imbalance * share * area / object_area))
    return counts


def place_object(
    canvas: AerialCanvas, rng: np.random.Generator, name: str, modes: int, roads: list[np.ndarray]
) -> None:
    """Paint an object of a random look at a random place; none if there is no room.

    Args:
        canvas: Canvas to paint on.
        rng: Random generator.
        name: Class of the object.
        modes: Number of looks of each class.
        roads: Centre lines as complex numbers, column + i row, in pixels. Cars drive on them, buildings
            stand beside them.
    """
    mode, ground = draw_mode(rng, modes), CLASSES.index(GROUND.get(name, "field"))
    half_size = np.array(LOOKS[name][mode].size) / 2 * rng.uniform(0.9, 1.1, 2)
    tint = draw_tint(rng)
    if name in FROM_ROAD:
        road = roads[int(rng.integers(len(roads)))]
        points = rng.integers(1, len(road), TRIES)
        fronts = (road[points] - road[points - 1]) * rng.choice([-1, 1], TRIES)
        fronts /= np.abs(fronts)
        centres = road[points] + 1j * fronts * rng.uniform(*FROM_ROAD[name], TRIES) * canvas.scale
    else:
        free = np.flatnonzero(canvas.mask == ground)
        rows, columns = np.divmod(rng.choice(free, TRIES if len(free) else 0), canvas.mask.shape[1])
        centres, fronts = columns + 1j * rows, np.exp(2j * np.pi * rng.random(len(rows)))
    fits = _covers(canvas, centres + fronts * _probes(*half_size * canvas.scale), ground).all(axis=0)
    for centre, front in zip(centres[fits], fronts[fits], strict=True):
        if _stamp(canvas, name, mode, half_size, tint, centre, front, ground):
            return


def _probes(length: float, width: float) -> np.ndarray:
    """Points of an object of half this length and width, `(points, 1)`, that reject most places at once."""
    corner = 0.7 * complex(length, width)
    return np.array(
        [[0], [length], [-length], [corner], [-corner], [corner.conjugate()], [-corner.conjugate()]]
    )


def _covers(canvas: AerialCanvas, points: np.ndarray, ground: int) -> np.ndarray:
    """Whether the class at each point is `ground`; not outside the canvas."""
    rows, columns = points.imag.astype(np.int32), points.real.astype(np.int32)
    inside = (rows >= 0) & (rows < canvas.mask.shape[0]) & (columns >= 0) & (columns < canvas.mask.shape[1])
    return inside & (canvas.mask[rows * inside, columns * inside] == ground)


def _stamp(canvas, name, mode, half_size, tint, centre, front, ground) -> bool:
    """Paint an object, if it covers its ground alone."""
    look, (length, width) = LOOKS[name][mode], half_size.astype(np.float32)
    column, row, reach = int(centre.real), int(centre.imag), int(np.hypot(length, width) * canvas.scale) + 2
    top, left = max(0, row - reach), max(0, column - reach)
    part = canvas.window(slice(top, row + reach), slice(left, column + reach))
    a, b = rotated(part.mask.shape, (row - top, column - left), np.angle(front), canvas.scale)
    u, v = a / length, b / width
    if look.taper:
        v /= 1 - look.taper * np.clip(0.5 + u / 2, 0, 1) ** 2
    edge = np.abs(u) ** look.power + np.abs(v) ** look.power
    where = edge <= 1
    if (part.mask[where] != ground).any():
        return False
    part.paint(where, name, mode, _pattern(look, a, b, u, v, edge), tint)
    part.height[where] = (look.height * (1 - 0.5 * look.ridge * np.abs(v)))[where]
    return True


def _pattern(look: Look, a, b, u, v, edge) -> np.ndarray:
    """Compute the share of the accent, float32.

    Args:
        look: Look of the object.
        a, b: Position along and across the object in metres.
        u, v: The same, -1 to 1 within the object.
        edge: Superellipse of the outline, 0 in the middle and 1 at the outline.
    """
    if look.pattern == "rows":
        return 0.5 + 0.5 * np.cos(np.float32(2 * np.pi / look.period) * a)
    if look.pattern == "grid":
        accent = np.minimum(a % look.period, b % look.period) < 0.2 * look.period
    elif look.pattern == "rim":
        accent = edge > 0.78**look.power
    elif look.pattern == "deck":
        accent = (np.abs(v) < 0.55) & (u > -0.8) & (u < 0.35)
    elif look.pattern == "glass":
        accent = (np.abs(v) < 0.8) & (((u > 0.1) & (u < 0.45)) | ((u > -0.85) & (u < -0.6)))
    else:
        accent = np.full(a.shape, 0.5)
    return accent.astype(np.float32)
