"""Paint trees and hedges: trunks, and crowns with ragged edges and transparent holes."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.canvas import TREE, smooth_noise
from usrn_keras.data.quickstart.light import rgb

GREENS = [(0.25, 0.42, 0.14), (0.18, 0.33, 0.12), (0.36, 0.47, 0.18), (0.14, 0.27, 0.18), (0.42, 0.5, 0.2)]
AUTUMN = [(0.62, 0.42, 0.12), (0.55, 0.25, 0.12), (0.45, 0.2, 0.24)]
LEAVES = np.array([*GREENS, *GREENS, *AUTUMN], np.float32)
SHAPES = ("round", "tall", "cone", "bush")


def paint_tree(scene, x: float, z: float) -> None:
    """Paint one tree at `(x, z)`."""
    rng, camera = scene.rng, scene.camera
    shape = str(rng.choice(SHAPES, p=(0.5, 0.2, 0.2, 0.1)))
    height = {"round": 7.0, "tall": 9.0, "cone": 8.0, "bush": 2.2}[shape] * rng.uniform(0.6, 1.25)
    spread = height * {"round": 0.36, "tall": 0.17, "cone": 0.25, "bush": 0.6}[shape] * rng.uniform(0.8, 1.2)
    bottom = {"round": 0.3, "tall": 0.2, "cone": 0.08, "bush": 0.0}[shape] * height
    _trunk(scene, x, z, (bottom + height) / 2, 0.03 * height * rng.uniform(0.7, 1.3))
    left, top = camera.project(np.array([x - spread, height, z])).tolist()
    right, base = camera.project(np.array([x + spread, bottom, z])).tolist()
    _crown(scene, shape, left, top, right, base, z)


def _trunk(scene, x, z, top, width) -> None:
    rng = scene.rng
    bark = rgb(*rng.choice([(0.3, 0.22, 0.16), (0.36, 0.33, 0.3), (0.2, 0.17, 0.15)])) * rng.uniform(0.7, 1.2)
    lean = rng.normal(0, 0.15)
    corners = np.array(
        [
            (x - width / 2, 0, z),
            (x + width / 2, 0, z),
            (x + lean + width / 4, top, z),
            (x + lean - width / 4, top, z),
        ]
    )
    scene.canvas.polygon(scene.camera.project(corners), scene.light.lit(bark, z), TREE)


def _crown(scene, shape, left, top, right, base, z) -> None:
    """Paint leaves inside a blob whose border is perturbed by noise."""
    rng = scene.rng
    rows, columns, v, u = _box(scene.canvas.mask.shape, left, top, right, base)
    if v.size == 0 or u.size == 0:
        return
    size = (v.size, u.size)
    coarse, fine = smooth_noise(rng, size, 4, 2), rng.standard_normal(size, dtype=np.float32)
    fine = smooth_noise(rng, size, max(4, u.size // 4), 1) * 0.8 + 0.5 * fine
    if shape == "cone":
        inside = 0.9 - np.abs(u) / np.maximum((v + 1) / 2, 0.05)
    else:
        inside = 1 - u**2 - v**2 if shape != "bush" else 1 - np.abs(u) ** 3 - np.abs(v) ** 3
    region = inside + 0.3 * coarse + 0.17 * fine > rng.uniform(0.0, 0.2)
    leaf = LEAVES[rng.integers(len(LEAVES))] * (1 + rng.normal(0, 0.08, 3).astype(np.float32))
    shade = 0.85 - 0.25 * v + 0.12 * scene.light.sun_side * u + 0.13 * coarse + 0.2 * fine
    albedo = np.clip(leaf * shade[..., None], 0.01, 1)
    scene.canvas.paint(rows, columns, region, scene.light.lit(albedo, z), TREE)


def _box(shape, left, top, right, base):
    """Slices of the visible part of a box, and its coordinates in -1..1, `(h, 1)` and `(1, w)`."""
    first_row, last_row = np.clip([int(top), int(base) + 1], 0, shape[0])
    first_column, last_column = np.clip([int(left), int(right) + 1], 0, shape[1])
    v = (np.arange(first_row, last_row, dtype=np.float32) - (top + base) / 2) / max((base - top) / 2, 0.5)
    u = (np.arange(first_column, last_column, dtype=np.float32) - (left + right) / 2) / max(
        (right - left) / 2, 0.5
    )
    return slice(first_row, last_row), slice(first_column, last_column), v[:, None], u[None]


def paint_hedge(scene, side: int, near: float, far: float) -> None:
    """Paint a hedge or a row of bushes along the street."""
    rng = scene.rng
    top = rng.uniform(0.9, 3.5)
    patch = scene.camera.side_wall(side * scene.street.building_line(side), near, far, top * 1.3)
    if patch is None:
        return
    size = patch.height.shape
    coarse, fine = smooth_noise(rng, size, 6, 3), rng.standard_normal(size, dtype=np.float32)
    region = (patch.height >= 0) & (patch.height + 0.12 * top * coarse + 0.1 * fine < top)
    leaf = LEAVES[rng.integers(len(LEAVES))]
    albedo = np.clip(
        leaf * (0.65 + 0.3 * patch.height / top + 0.15 * coarse + 0.2 * fine)[..., None], 0.01, 1
    )
    colours = scene.light.lit(albedo, patch.depth, scene.light.facing(side))
    scene.canvas.paint(patch.rows, patch.columns, region, colours, TREE)


def paint_far_trees(scene, depth: float = 90.0) -> None:
    """Paint woods or hills on the horizon."""
    rng = scene.rng
    patch = scene.camera.front_wall(depth, -200, 200, 40)
    if patch is None:
        return
    size = patch.height.shape
    outline = smooth_noise(rng, (2, size[1]), int(rng.integers(3, 9)), 4)[:1]
    fine = rng.standard_normal(size, dtype=np.float32)
    region = (patch.height >= 0) & (patch.height < 6 + 5 * outline + fine)
    albedo = np.clip(LEAVES[rng.integers(len(LEAVES))] * (0.8 + 0.2 * fine)[..., None], 0.01, 1)
    scene.canvas.paint(patch.rows, patch.columns, region, scene.light.lit(albedo, depth), TREE)
