"""Control images: streets and regions of an endless made-up country, equal on whatever frame they are drawn."""

import numpy as np

PALETTE = np.array([[61, 230, 250], [4, 200, 3], [180, 120, 120], [140, 140, 140], [120, 120, 70]], np.uint8)


def streets(height: int, width: int, seed: int = 0, x0: int = 0, y0: int = 0) -> np.ndarray:
    """Draw white lines on black: uint8[height, width, 3] with its top left pixel at (x0, y0)."""
    y, x = np.mgrid[y0 : y0 + height, x0 : x0 + width].astype(np.float64)
    draw = np.random.default_rng([seed, 1])
    line = np.zeros((height, width), bool)
    for _ in range(4):
        angle, period, shift = draw.uniform(0, np.pi), draw.uniform(37, 71), draw.uniform(0, 71)
        line |= (np.cos(angle) * x + np.sin(angle) * y + shift) % period < 3.0
    return np.repeat(line[..., None] * np.uint8(255), 3, axis=2)


def regions(height: int, width: int, seed: int = 0, x0: int = 0, y0: int = 0) -> np.ndarray:
    """Draw blocks in colours of ADE20K: uint8[height, width, 3] with its top left pixel at (x0, y0)."""
    y, x = np.mgrid[y0 : y0 + height, x0 : x0 + width]
    row = (y + x // 3) // 41
    column = (x - y // 4 + seed * 13) // 53
    number = (row * 73_856_093) ^ (column * 19_349_663) ^ (seed * 83_492_791)
    return PALETTE[(number // 7) % len(PALETTE)]
