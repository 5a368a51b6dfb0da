"""The eight classes of the street scenes, their ids and colours."""

from __future__ import annotations

import numpy as np

CLASSES = ("sky", "road", "building", "tree", "car", "person", "pole", "sign")
SKY, ROAD, BUILDING, TREE, CAR, PERSON, POLE, SIGN = range(len(CLASSES))

PALETTE = np.array(
    [
        (70, 130, 180),
        (128, 64, 128),
        (90, 80, 75),
        (107, 142, 35),
        (0, 0, 142),
        (220, 20, 60),
        (190, 190, 190),
        (250, 220, 0),
    ],
    np.uint8,
)
