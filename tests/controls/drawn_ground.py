"""Geography drawn by hand, for tests of the controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mapstyle.frame import Frame, Grid
from mapstyle.layers import PER_FEATURE, LayerKind, LayerStack, RasterLayer, VectorLayer

K = LayerKind
GRID = Grid.web_mercator(16)


def layer(kind: LayerKind, shapes: Sequence[Sequence[Any]], **values: Any) -> VectorLayer:
    """Make a layer: a shape is its rings, a ring a list of (x, y) in logical pixels."""
    count = len(shapes)
    rings = [np.array(r, np.float64).reshape(-1, 2) for shape in shapes for r in shape]
    coords = np.concatenate(rings)
    starts = np.concatenate([[0], np.cumsum([len(r) for r in rings])]).astype(np.int64)
    features = np.concatenate([[0], np.cumsum([len(s) for s in shapes])]).astype(np.int64)
    boxes = np.array(
        [
            np.concatenate([p.min(0), p.max(0)])
            for p in (np.concatenate([np.array(r, float) for r in s]) for s in shapes)
        ]
    )

    def column(name: str, dtype: Any, default: Any) -> np.ndarray:
        return np.broadcast_to(np.array(values.pop(name, default), dtype), (count,)).copy()

    area = np.array([_area(s) for s in shapes])
    made = VectorLayer(
        kind=kind, coords=coords, rings=starts, features=features, boxes=boxes,
        ids=column("ids", np.uint64, np.arange(count) * 0x9E3779B97F4A7 + int(list(K).index(kind)) * 1000 + 1),
        area=values.pop("area", area),
        scale=column("scale", np.float64, 0.65), rank=column("rank", np.int16, 4), layer=column("layer", np.int8, 0),
        bridge=column("bridge", np.bool_, False), tunnel=column("tunnel", np.bool_, False),
        width=column("width", np.float32, np.nan), height=column("height", np.float32, np.nan),
        base=column("base", np.float32, 0), along=np.array(values.pop("along", np.zeros(len(rings))), np.float64),
        detail=column("detail", object, ""), names=column("names", object, None),
    )  # fmt: skip
    assert not values, values
    return made


def joined(layers: Sequence[VectorLayer]) -> VectorLayer:
    """Put layers of one kind together."""
    rows: dict[str, Any] = {
        n: np.concatenate([getattr(a, n) for a in layers]) for n in (*PER_FEATURE, "coords", "along")
    }
    for name in ("rings", "features"):
        sizes = np.concatenate([np.diff(getattr(a, name)) for a in layers])
        rows[name] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return VectorLayer(kind=layers[0].kind, **rows)


def _area(shape: Sequence[Any]) -> float:
    total = 0.0
    for i, ring in enumerate(shape):
        x, y = np.array(ring, float).T
        part = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
        total += part if i == 0 else -part
    return total


@dataclass
class Ground:
    """Layers in memory; a plane of slope (east, south, metres a metre) and waves in metres for elevation."""

    areas: Mapping[LayerKind, VectorLayer] = field(default_factory=dict)
    lines: Mapping[LayerKind, VectorLayer] = field(default_factory=dict)
    points: Mapping[LayerKind, VectorLayer] = field(default_factory=dict)
    grid: Grid = GRID
    slope: tuple[float, float] | None = None
    waves: float = 0.0

    def read(self, frame: Frame) -> LayerStack:
        box, turn = frame.logical_box, self.grid.turn
        stacks = []
        for layers in (self.areas, self.lines, self.points):
            found = {}
            for kind, whole in layers.items():
                moved = [whole] + ([whole.moved(turn), whole.moved(-turn)] if turn else [])
                near = [m.pick(h) for m in moved if len(h := m.hits(box))]
                if near:
                    found[kind] = joined(near)
            stacks.append(found)
        return LayerStack(self.grid, *stacks)

    def elevation(self, frame: Frame) -> RasterLayer | None:
        if self.slope is None:
            return None
        s = frame.grid.pixel_ratio
        x = (np.arange(frame.width) + frame.column + 0.5) / s
        if turn := self.grid.turn:
            x = (x + turn / 2) % turn - turn / 2
        y = (np.arange(frame.height) + frame.row + 0.5) / s
        metre = float(self.grid.pixels_per_metre(float(self.grid.unproject(np.array([[0.0, 0.0]]))[0, 1])))
        values = (self.slope[0] * x[None, :] + self.slope[1] * y[:, None]) / metre
        values = values + self.waves * np.sin(x[None, :] / 37) * np.cos(y[:, None] / 53)
        known = np.clip((400 - np.hypot(x[None, :], y[:, None])) / 100, 0, 1)
        return RasterLayer(frame, values.astype(np.float32), known.astype(np.float32))

    def seeds(self, frame: Frame) -> list[Any]:
        return []


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    """Give a closed ring."""
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def town(grid: Grid = GRID, corner: tuple[float, float] = (0.0, 0.0), seed: int = 7) -> Ground:
    """Scatter some of everything over 1400 px round a corner where four cells meet."""
    random = np.random.RandomState(seed)
    shift = np.array(corner)

    def blob(size: float, corners: int = 7) -> np.ndarray:
        centre = random.uniform(-650, 650, 2) + shift
        angle = np.sort(random.uniform(0, 2 * np.pi, corners))
        ring = centre + size * random.uniform(0.4, 1, (corners, 1)) * np.column_stack([np.cos(angle), np.sin(angle)])
        return np.concatenate([ring, ring[:1]])

    def walk(steps: int, step: float) -> np.ndarray:
        turns = random.uniform(0, 2 * np.pi) + np.cumsum(random.uniform(-0.6, 0.6, steps))
        path = np.cumsum(step * np.column_stack([np.cos(turns), np.sin(turns)]), axis=0)
        return random.uniform(-600, 600, 2) + path - path.mean(axis=0) + shift

    def house() -> np.ndarray:
        angle, half = random.uniform(0, 3), random.uniform(3, 9, 2)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return np.array(box(-half[0], -half[1], half[0], half[1])) @ turn + random.uniform(-650, 650, 2) + shift

    areas = {
        kind: layer(kind, [[blob(size)] for _ in range(count)])
        for kind, size, count in ((K.WOOD, 160, 8), (K.MEADOW, 120, 9), (K.FARMLAND, 200, 6), (K.WATER, 60, 6),
                                  (K.BORDER, 500, 3), (K.RESIDENTIAL, 220, 4), (K.PIER, 20, 3))
    }  # fmt: skip
    areas[K.BUILDING] = layer(K.BUILDING, [[house()] for _ in range(160)])
    lines = {
        kind: layer(kind, [[walk(steps, 40)] for _ in range(count)])
        for kind, steps, count in ((K.STREET, 20, 12), (K.PRIMARY, 40, 3), (K.PATH, 12, 12), (K.STREAM, 30, 4),
                                   (K.RAIL, 40, 2), (K.RUNWAY, 12, 1), (K.TREE_ROW, 8, 6), (K.BORDER, 20, 2),
                                   (K.WALL, 6, 5), (K.TRAM, 20, 1))
    }  # fmt: skip
    spans = [[walk(4, 30)] for _ in range(6)]
    lines[K.SECONDARY] = layer(K.SECONDARY, spans, bridge=True, layer=[1, 2, 1, 1, 2, 1])
    lines[K.TERTIARY] = layer(K.TERTIARY, [[walk(9, 30)] for _ in range(3)], tunnel=True, layer=-1)
    spots = random.uniform(-650, 650, (60, 2)) + shift
    return Ground(areas, lines, {K.TREE: layer(K.TREE, [[[p]] for p in spots])}, grid, slope=(0.2, 0.1), waves=30.0)
