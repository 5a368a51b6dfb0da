"""Paint houses: boxes along the street with walls, windows and shops of several styles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usrn_keras.data.quickstart.camera import Patch
from usrn_keras.data.quickstart.canvas import BUILDING, Grain
from usrn_keras.data.quickstart.light import rgb

STYLES = ("plaster", "brick", "glass", "ribbon", "panel", "stone")
WALLS = {
    "plaster": [
        rgb(0.85, 0.78, 0.6),
        rgb(0.88, 0.86, 0.8),
        rgb(0.8, 0.6, 0.5),
        rgb(0.6, 0.7, 0.66),
        rgb(0.6, 0.66, 0.78),
    ],
    "brick": [rgb(0.52, 0.27, 0.2), rgb(0.42, 0.25, 0.2), rgb(0.62, 0.42, 0.28)],
    "glass": [rgb(0.25, 0.36, 0.42), rgb(0.2, 0.24, 0.28), rgb(0.38, 0.45, 0.5)],
    "ribbon": [rgb(0.75, 0.75, 0.72), rgb(0.5, 0.5, 0.5), rgb(0.6, 0.55, 0.48)],
    "panel": [rgb(0.55, 0.57, 0.58), rgb(0.42, 0.4, 0.38), rgb(0.7, 0.68, 0.62)],
    "stone": [rgb(0.66, 0.6, 0.5), rgb(0.5, 0.47, 0.42)],
}
# Ranges by style: width of a bay in metres, width and height of a window as shares of the bay.
BAYS = {
    "plaster": ((2.2, 3.6), (0.3, 0.5), (0.4, 0.6)),
    "brick": ((2.0, 3.2), (0.3, 0.5), (0.45, 0.6)),
    "glass": ((1.2, 2.0), (0.86, 0.94), (0.8, 0.92)),
    "ribbon": ((3.0, 6.0), (0.97, 1.0), (0.35, 0.5)),
    "panel": ((2.6, 4.0), (0.5, 0.7), (0.4, 0.55)),
    "stone": ((2.4, 3.4), (0.3, 0.4), (0.55, 0.7)),
}


@dataclass(frozen=True)
class Facade:
    """Appearance of the walls of one house; lengths in metres, colours RGB in 0..1."""

    style: str
    wall: np.ndarray
    trim: np.ndarray
    glass: np.ndarray
    shop: np.ndarray | None
    storey: float
    bay: float
    window: tuple[float, float]
    panes: np.ndarray  # (16, 16) in 0..1, brightness of each window
    posters: np.ndarray  # (16, 16) bool, bays with a coloured panel instead of a window


def draw_facade(rng: np.random.Generator) -> Facade:
    """Draw the appearance of a house."""
    style = str(rng.choice(STYLES))
    wall = WALLS[style][rng.integers(len(WALLS[style]))] * (1 + rng.normal(0, 0.07, 3).astype(np.float32))
    bay, width, height = (rng.uniform(*bounds) for bounds in BAYS[style])
    return Facade(
        style=style,
        wall=np.clip(wall * rng.uniform(0.8, 1.1), 0.05, 0.98),
        trim=rgb(*rng.choice([0.9, 0.75, 0.3]) * np.ones(3)) * wall**0.2,
        glass=rgb(*rng.choice([(0.12, 0.15, 0.2), (0.3, 0.4, 0.5), (0.5, 0.58, 0.66), (0.2, 0.2, 0.18)])),
        shop=rng.uniform(0.1, 0.9, 3).astype(np.float32) if rng.random() < 0.45 else None,
        storey=rng.uniform(2.8, 3.7),
        bay=bay,
        window=(width, height),
        panes=rng.random((16, 16), dtype=np.float32),
        posters=rng.random((16, 16)) < rng.choice([0.0, 0.0, 0.04]),
    )


def paint_house(scene, side: int, near: float, far: float) -> None:
    """Paint one house along the street from depth `near` to `far`."""
    rng, camera = scene.rng, scene.camera
    facade = draw_facade(rng)
    top = scene.street.roofline * rng.uniform(0.65, 1.35)
    x = side * (scene.street.building_line(side) + rng.uniform(0, 0.6))
    deep = rng.uniform(8, 16)
    _roof(scene, side, x, near, far, top, deep)
    across = camera.front_wall(near, min(x, x + side * deep), max(x, x + side * deep), top)
    paint_wall(scene, facade, across, top, scene.light.facing(0) * 0.9)
    along = camera.side_wall(x, near, far, top)
    paint_wall(scene, facade, along, top, scene.light.facing(side))


def paint_wall(scene, facade: Facade, patch: Patch | None, top: float, facing: float) -> None:
    """Paint a wall of a house over its patch of the canvas."""
    if patch is None:
        return
    region = (patch.height >= 0) & (patch.height <= top)
    albedo, lamps = _wall_colours(facade, scene.grain, patch.along, patch.height, top, scene.light.lamps)
    colours = scene.light.lit(albedo, patch.depth, facing)
    if lamps is not None:
        colours[lamps] = scene.light.glowing(
            rgb(1.0, 0.82, 0.5) * (albedo[lamps] * 0.5 + 0.5), _at(patch.depth, lamps)
        )
    scene.canvas.paint(patch.rows, patch.columns, region, colours, BUILDING)


def _at(depth: np.ndarray, region: np.ndarray) -> np.ndarray:
    return np.broadcast_to(depth, region.shape)[region]


def _wall_colours(
    facade: Facade, grain: Grain, along, height, top, dark
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute the albedo `(h, w, 3)` of a wall, and the mask of its lit windows (None by day)."""
    floor, bay = np.floor(height / facade.storey), np.floor(along / facade.bay)
    across = np.abs(along / facade.bay - bay - 0.5)
    up = np.abs(height / facade.storey - floor - 0.5)
    which = floor.astype(np.int32) % 16, bay.astype(np.int32) % 16
    width, tall = facade.window
    under_roof = height < top - 0.5
    window = (across < width / 2) & (up < tall / 2) & under_roof
    frame = (across < width / 2 + 0.04) & (up < tall / 2 + 0.04) & under_roof & ~window
    albedo = (
        np.broadcast_to(facade.wall, (*height.shape, 3))
        * (1 + _roughness(facade, grain, along, height))[..., None]
    )
    albedo[frame] = facade.trim
    pane = facade.panes[which]
    glass = facade.glass * (0.5 + pane)[..., None] + 0.1 * grain(along, height, 2.0)[..., None]
    np.copyto(albedo, glass, where=window[..., None])
    poster = window & facade.posters[which]
    albedo[poster] = np.stack([pane, 1 - pane, (pane * 7) % 1], axis=-1)[poster]
    albedo[height > top - 0.35] = facade.trim * 0.9
    if facade.shop is not None:
        _shop(facade, albedo, height, across, pane)
    lamps = window & (pane > 0.62) if dark else None
    return np.clip(albedo, 0, 1).astype(np.float32), lamps


def _roughness(facade: Facade, grain: Grain, along, height) -> np.ndarray:
    rough = 0.07 * grain(along, height) + 0.06 * grain(along, height, 0.9)
    if facade.style in ("brick", "stone", "panel"):
        step = {"brick": 0.3, "stone": 0.7, "panel": 2.0}[facade.style]
        row = np.floor(height / step)
        joint = ((along / (2 * step) + 0.5 * (row % 2)) % 1 < 0.08) | ((height / step) % 1 < 0.14)
        rough = rough - 0.14 * joint
    return rough


def _shop(facade: Facade, albedo, height, across, pane) -> None:
    """Paint a shop front: wide panes under a coloured band, as colourful as a sign but of class building."""
    storey = height < facade.storey
    albedo[storey & (across < 0.44)] = facade.glass * 0.8
    display = storey & (across < 0.4) & (height > 0.5) & (height < 2.3)
    albedo[display] = (0.25 + 0.5 * pane[display])[:, None] * (0.4 + 0.6 * facade.shop)
    albedo[(height > facade.storey - 0.8) & (height < facade.storey - 0.1)] = facade.shop


def _roof(scene, side, x, near, far, top, deep) -> None:
    """Paint a pitched roof on some of the houses: the slope towards the street and the gable."""
    rng = scene.rng
    if rng.random() < 0.5:
        return
    ridge_x, ridge = x + side * deep / 2, top + rng.uniform(1.5, 4)
    tiles = rgb(*rng.choice([(0.5, 0.25, 0.18), (0.3, 0.3, 0.33), (0.42, 0.34, 0.28)])) * rng.uniform(
        0.8, 1.2
    )
    slope = np.array([(x, top, near), (x, top, far), (ridge_x, ridge, far), (ridge_x, ridge, near)])
    gable = np.array([(x, top, near), (ridge_x, ridge, near), (x + side * deep, top, near)])
    light, canvas, camera = scene.light, scene.canvas, scene.camera
    canvas.polygon(camera.project(slope), light.lit(tiles, near, light.facing(side)), BUILDING)
    canvas.polygon(camera.project(gable), light.lit(tiles * 0.5 + 0.3, near, light.facing(0)), BUILDING)


def paint_end(scene, depth: float) -> None:
    """Paint a building front across the end of the street."""
    rng = scene.rng
    facade = draw_facade(rng)
    middle, half = rng.uniform(-15, 15), rng.uniform(6, 25)
    top = scene.street.roofline * rng.uniform(0.6, 1.8)
    patch = scene.camera.front_wall(depth, middle - half, middle + half, top)
    paint_wall(scene, facade, patch, top, scene.light.facing(0))
