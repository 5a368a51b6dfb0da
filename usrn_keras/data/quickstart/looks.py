"""Classes of the aerial scenes, and the looks (appearance modes) of each class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Colour = tuple[int, int, int]


class Look(NamedTuple):
    """One appearance mode of a class. Lengths are in metres; a scene is 128 m high.

    Attributes:
        colour: Main colour, RGB.
        accent: Second colour, RGB.
        pattern: Where the accent is: `noise`, `rows`, `grid`, `rim`, `deck`, `glass`; on roads: `dashes`,
            `edges`, `ruts`, `joints`.
        period: Distance between two rows or lines of the pattern, or diameter of a tree.
        size: Length and width of an object.
        power: Outline of an object, a superellipse: 2 is an ellipse, 8 nearly a rectangle.
        taper: How much narrower an object is at its front, from 0 to 1.
        height: Height of an object.
        ridge: Whether its upper side slopes down from a ridge, as a gable roof.
    """

    colour: Colour
    accent: Colour
    pattern: str = "noise"
    period: float = 4.0
    size: tuple[float, float] = (0.0, 0.0)
    power: float = 8.0
    taper: float = 0.0
    height: float = 0.0
    ridge: bool = False


LOOKS: dict[str, tuple[Look, ...]] = {
    "field": (
        Look((118, 146, 74), (142, 164, 92)),  # meadow
        Look((206, 182, 112), (178, 150, 84), "rows", 4.5),  # wheat
        Look((138, 106, 80), (110, 82, 62), "rows", 6.0),  # ploughed
        Look((126, 108, 80), (86, 134, 66), "rows", 8.0),  # vegetables
    ),
    "tree": (
        Look((66, 104, 48), (88, 124, 58), period=13.0, height=7.0),  # broad-leaved
        Look((40, 72, 54), (52, 86, 62), period=9.0, height=11.0),  # conifer
        Look((172, 106, 46), (192, 136, 60), period=12.0, height=7.0),  # autumn
        Look((132, 148, 112), (152, 164, 128), period=10.0, height=5.0),  # olive
    ),
    "water": (
        Look((42, 84, 116), (62, 106, 138)),
        Look((62, 138, 142), (92, 164, 160)),
        Look((80, 106, 66), (98, 122, 76)),
        Look((132, 116, 86), (150, 134, 102)),
    ),
    "road": (
        Look((88, 90, 94), (236, 236, 230), "dashes"),  # asphalt
        Look((172, 168, 160), (128, 124, 118), "joints"),  # concrete
        Look((172, 142, 104), (140, 112, 82), "ruts"),  # dirt
        Look((150, 98, 82), (222, 214, 204), "edges"),  # brick
    ),
    "building": (
        Look((178, 84, 58), (146, 66, 48), "rows", 3.2, (34, 24), height=9, ridge=True),  # tiles
        Look((158, 158, 154), (196, 196, 190), "rim", 3.0, (36, 28), height=12),  # flat roof
        Look((76, 80, 92), (60, 64, 74), "noise", 3.0, (30, 24), height=9, ridge=True),  # slate
        Look((96, 132, 166), (128, 160, 188), "rows", 4.5, (44, 22), height=7, ridge=True),  # metal
    ),
    "car": (
        Look((236, 236, 236), (52, 58, 66), "glass", 0, (15, 8), 4, height=2.5),
        Look((190, 36, 34), (44, 40, 44), "glass", 0, (13, 8), 3, height=2.5),
        Look((38, 52, 84), (118, 134, 152), "glass", 0, (15, 8), 5, height=3),
        Look((238, 190, 52), (222, 222, 218), "deck", 0, (20, 9), 8, height=4),  # van
    ),
    "boat": (
        Look((244, 244, 240), (150, 172, 184), "deck", 0, (22, 9), 2.5, 0.7, 2),  # motor boat
        Look((132, 86, 52), (92, 60, 40), "deck", 0, (18, 8), 2, height=1.5),  # rowing boat
        Look((176, 62, 46), (70, 66, 68), "deck", 0, (30, 11), 8, 0.15, 3),  # barge
        Look((250, 196, 60), (40, 60, 110), "deck", 0, (20, 7), 2, height=1.5),  # kayak
    ),
    "pool": (
        Look((78, 172, 188), (236, 234, 226), "rim", 0, (20, 12)),
        Look((112, 190, 204), (190, 190, 186), "rim", 0, (15, 15), 2),
        Look((44, 104, 152), (206, 184, 156), "rim", 0, (21, 13), 2.5, 0.3),
        Look((226, 232, 236), (120, 150, 190), "rows", 4.0, (19, 12)),  # covered
    ),
    "panel": (
        Look((42, 62, 122), (176, 190, 214), "grid", 5.0, (24, 13), height=2),
        Look((30, 32, 40), (74, 78, 88), "rows", 4.5, (22, 14), height=2),
        Look((74, 60, 118), (150, 140, 180), "grid", 6.5, (30, 9), height=2),
        Look((34, 84, 92), (140, 176, 172), "rows", 5.0, (17, 17), height=2),
    ),
}

CLASSES = tuple(LOOKS)
RARE = {"car": 1.75, "boat": 1.5, "pool": 1.25, "panel": 1.0}
"""Rare classes and their share of the pixels in units of the smallest class."""
MAX_MODES = min(map(len, LOOKS.values()))
_COLOURS = "c4cc78 2a7a3c 4682c8 787880 be5a46 f03c3c ffb428 5ae6f0 5a32a0"  # in the order of CLASSES
PALETTE = np.frombuffer(bytes.fromhex(_COLOURS), np.uint8).reshape(-1, 3)
"""Colour of each class, `(classes, 3)` uint8."""
