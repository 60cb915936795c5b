"""Layers that hold label seeds and nothing else."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mapstyle.fingerprint import stable_id
from mapstyle.frame import Frame, Grid
from mapstyle.layers import LayerStack, RasterLayer
from mapstyle.placed import LabelKind, LabelSeed

WORDS = (
    "Alta Vista", "Old Mill Lane", "Saint-Rémy-sur-Mer", "Zürich", "Öland", "Βόλος", "Тула", "Quai du Port",
    "Little Wood", "Ford", "Kirkby Lonsdale and Barbon", "Ox", "Rue de la République", "Bay of Whales",
)  # fmt: skip


class SeedLayers:
    """Seeds of one grid, repeated round the world where the grid closes."""

    def __init__(self, grid: Grid, seeds: Iterable[LabelSeed]) -> None:
        self._grid = grid.at_ratio(1)
        self._seeds = list(seeds)
        self.asked: list[Frame] = []

    @property
    def grid(self) -> Grid:
        return self._grid

    def read(self, frame: Frame) -> LayerStack:
        return LayerStack(frame.grid)

    def elevation(self, frame: Frame) -> RasterLayer | None:
        return None

    def seeds(self, frame: Frame) -> Sequence[LabelSeed]:
        self.asked.append(frame)
        left, top, right, bottom = frame.logical_box
        turn = self._grid.turn
        turns = range(math.floor(left / turn) - 1, math.floor(right / turn) + 1) if turn else (0,)
        found = []
        for k in turns:
            for seed in self._seeds:
                x = seed.x + k * turn
                if left <= x < right and top <= seed.y < bottom:
                    path = None if seed.path is None else seed.path + np.array([k * turn, 0.0])
                    found.append(replace(seed, x=x, path=path))
        return found


def crowd(grid: Grid, count: int, left: float, top: float, side: float, salt: int = 0) -> SeedLayers:
    """Strew seeds of every kind over a square, so densely that many must give way."""
    chance = np.random.default_rng(salt + 7)
    kinds = list(LabelKind)
    seeds = []
    for i in range(count):
        x, y = left + side * chance.random(), top + side * chance.random()
        if grid.turn:
            x %= grid.turn
        kind = kinds[int(chance.integers(len(kinds)))]
        path, room = None, 0.0
        if kind in (LabelKind.STREET, LabelKind.RIVER):
            along = np.linspace(-170.0, 170.0, 12)
            slope, bend = chance.uniform(-math.pi, math.pi), chance.uniform(-0.001, 0.001)
            across = bend * along**2
            c, s = math.cos(slope), math.sin(slope)
            path = np.column_stack([x + c * along - s * across, y + s * along + c * across])
        elif kind in (LabelKind.WATER, LabelKind.PARK):
            room = float(chance.uniform(40, 200))
        seeds.append(
            LabelSeed(
                kind=kind, rank=int(chance.integers(6)), names={"": WORDS[int(chance.integers(len(WORDS)))], "en": f"N{i}"},
                id=stable_id(f"{salt}/{i}"), x=x, y=y, path=path, room=room,
                detail=str(chance.choice(["church", "cafe", "castle"])),
            )
        )  # fmt: skip
    return SeedLayers(grid, seeds)
