"""Seams along a lattice of lines: four measures, each judged against the same picture off the lines.

Measures 1-3 read one field (a picture's lightness, or a latent channel), measure 4 a picture's colours.
Every one has its null built in: what happens to lie on the lines by chance also lies elsewhere, so a texture,
a map or a gradient is no seam, and only what keeps to the lattice is. A lattice is judged by its *cells*: a cell
is one period wide, its line in the middle, and one period high, from one crossing line to the next.

A seam is more than its allowance *and* more than chance (z). One alone is not enough: on a small picture chance goes
beyond any allowance, and on a large one z finds what no eye does, such as the lattice of the painter's own noise
(cells of powers of two; its steps measure 0.01 to 0.03). The spectrum alone goes by z, to find faint grids.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.audit.colour import ciede2000, to_lab

Field = NDArray[np.floating[Any]]
Values = NDArray[np.float64]
Axis = Literal["vertical", "horizontal"]
AXES: tuple[Axis, Axis] = ("vertical", "horizontal")

SIGNIFICANT = 3.0
"""Standard deviations from which a measure is no chance."""
STEP = 0.05
"""Largest step seam either way, as a logarithm: gradient on the lines over the median elsewhere."""
TEXTURE = 0.93
"""Least share of texture that the poorest phase of the lattice may keep, relative to chance."""
TONE = 0.3
"""Largest step of tone across a line, CIEDE2000; about a third of what an eye sees between two patches."""
REACH = 32
"""Pixels either side of a line over which tone is averaged."""
PERIODS = 4
"""Periods that a picture must show at least for its lattice to be judged."""

_CELL = 64  # rows in a cell of a lattice finer than that, so that a cell's means are steady
_BINS = 16  # phases of the lattice between which texture is compared
_ROLLS = 300


@dataclass(frozen=True)
class Lines:
    """An endless lattice of lines, each between two pixels.

    Attributes:
        name: what the lines are, such as ``tile`` or ``ramp of phase 0``.
        period: pixels from one line to the next, both ways.
        x: column right of one vertical line.
        y: row below one horizontal line.
    """

    name: str
    period: int
    x: int = 0
    y: int = 0

    def __post_init__(self) -> None:
        assert self.period >= 4, "lines need room between them"

    def seen_from(self, column: int, row: int) -> "Lines":
        """Give the same lines, counted from another pixel: that of a picture's upper left corner."""
        return Lines(self.name, self.period, (self.x - column) % self.period, (self.y - row) % self.period)


@dataclass(frozen=True)
class Finding:
    """What a check says of a picture along one lattice of lines.

    Attributes:
        check: ``gradient``, ``spectrum``, ``texture`` or ``tone``.
        lines: where was looked.
        axis: which way those lines run.
        score: the measure, in the unit that the check names.
        threshold: where its allowance ends.
        z: standard deviations from what chance gives.
        passed: whether there is no seam.
    """

    check: str
    lines: Lines
    axis: Axis
    score: float
    threshold: float
    z: float
    passed: bool

    def __str__(self) -> str:
        told = "passed" if self.passed else "FAILED"
        return (
            f"{self.check}, {self.axis} {self.lines.name}: {self.score:.3f} (allowed {self.threshold:.3f}), "
            f"z {self.z:.1f}: {told}"
        )


def lattice_lines(
    name: str, window: int, stride: int, guard: int, ramp: int, offset: int = 0, scale: int = 8
) -> tuple[Lines, ...]:
    """Name the lines of a lattice of windows where a seam would be.

    They are the edges of windows, the edges of their supports (windows less their guard) and the middles of
    ramps, both of the windows that end there and of those that begin. Sizes are in latents, ``scale`` pixels each.
    """
    places = {
        "window starts": 0,
        "window ends": window,
        "ramp starts": guard,
        "ramp ends": guard + ramp,
        "ramp middles": guard + ramp / 2,
    }
    lines: dict[int, Lines] = {}
    for place, at in places.items():
        where = round((offset + at) * scale) % (stride * scale)
        lines.setdefault(where, Lines(f"{name}, {place}", stride * scale, where, where))
    return tuple(lines.values())


def examine(
    picture: NDArray[np.uint8], lines: Sequence[Lines], where: NDArray[np.bool_] | None = None
) -> list[Finding]:
    """Run all four checks on a picture.

    Spectrum and texture look at every phase of a lattice at once, so that they are run once for lines that
    differ only in their place.

    Args:
        picture: uint8[height, width, 3], RGB.
        lines: the lattices, counted from the picture's upper left corner.
        where: bool[height, width], the area whose tone is compared, such as water; all of it if left out.
    """
    lab = to_lab(picture)
    found: list[Finding] = []
    for axis in AXES:
        seen = set()
        for one in lines:
            found.append(gradient_seam(lab[..., 0], one, axis))
            if one.period not in seen:
                seen.add(one.period)
                found.append(spectrum_grid(lab[..., 0], one, axis))
                found.append(texture_loss(lab[..., 0], one, axis))
            found.append(tone_step(lab, one, axis, where))
    return found


def gradient_seam(field: Field, lines: Lines, axis: Axis = "vertical") -> Finding:
    """Compare the gradient across lines with that elsewhere.

    The score is the step seam, ``ln(g(line) / median g)`` of the folded profile ``g(u)`` = mean |dI/dx| over
    all columns ``u`` modulo the period; below 0 is a blurred strip, a seam as well. z is of van der Waerden's
    normal scores: the rank of the line's column among the columns of its cell, summed over the cells.
    Its distribution is known whatever the picture is.

    Args:
        field: float[height, width], any unit.
        lines: where.
        axis: which way the lines run.
    """
    across, at, along = _upright(field, lines, axis)
    steps = np.abs(np.diff(across.astype(np.float64), axis=1))
    cells = _cells(steps, lines.period, at - 1, along)
    profile = cells.mean(axis=0)
    middle = lines.period // 2
    least = 1e-9 * float(profile.max()) + 1e-300
    score = math.log((profile[middle] + least) / (float(np.median(profile)) + least))
    z = _score_z(cells, middle)
    return Finding("gradient", lines, axis, score, STEP, z, abs(score) < STEP or abs(z) < SIGNIFICANT)


def spectrum_grid(field: Field, lines: Lines, axis: Axis = "vertical") -> Finding:
    """Look for the lattice's frequency and its harmonics in the spectrum of the gradient.

    The score is the power at the harmonics relative to the frequencies between them, in the group of lowest
    harmonics (1, 2, 4, 8 ... of them) where it is clearest. The power of noise is exponentially distributed about
    its mean, so that a ratio r to the mean of n neighbours exceeds r with chance ``(1 + r/n)^-n``; the chances
    of a group are joined as Fisher does (Statistical Methods for Research Workers, 4th edition, 1932, section 21.1),
    and z counts that several groups were tried. Arguments as in :func:`gradient_seam`.
    """
    across, _, _ = _upright(field, lines, axis)
    profile = np.abs(np.diff(across.astype(np.float64), axis=1)).mean(axis=0)
    # Differences whiten it: else the slow changes of a map leak into every frequency.
    profile = np.diff(profile)
    period = lines.period
    turns = len(profile) // period
    _enough(turns, period)
    power = np.abs(np.fft.rfft(profile[: turns * period])) ** 2
    power += 1e-12 * power.max() + 1e-300
    # Details finer than a latent belong to the lattice of latents, whose frequency every multiple shares.
    harmonics = period // 2 if period <= 16 else (period - 1) // 8
    far = np.arange(1, turns // 2 + 1)
    far = np.concatenate([-far, far])
    centres = turns * np.arange(1, harmonics + 1)
    around = centres[:, None] + far
    inside = around < len(power)
    count = inside.sum(axis=1)
    beside = np.where(inside, power[np.minimum(around, len(power) - 1)], 0.0).sum(axis=1) / count
    ratio = power[centres] / beside
    surprise = np.cumsum(count * np.log1p(ratio / count))
    groups = [2**k for k in range(harmonics.bit_length())]
    chances = [_gamma_chance(size, float(surprise[size - 1])) for size in groups]
    best = int(np.argmin(chances))
    chance = -math.expm1(len(groups) * math.log1p(-min(chances[best], 1 - 1e-9)))
    z = -NormalDist().inv_cdf(min(1 - 1e-9, max(1e-300, chance)))
    score = float(ratio[: groups[best]].mean())
    allowed = _gamma_limit(groups[best], NormalDist().cdf(-SIGNIFICANT) / len(groups)) / groups[best]
    return Finding("spectrum", lines, axis, score, allowed, z, z < SIGNIFICANT)


def texture_loss(field: Field, lines: Lines, axis: Axis = "vertical", blur: float = 2.0) -> Finding:
    """Compare the energy of fine texture between the phases of a lattice.

    The score is the energy of the poorest phase over that of the richest, relative to the median of the
    same after rolling every cell by a distance of its own: that leaves the texture as it is and undoes what keeps to
    the lattice. Energies are averaged as logarithms, so that a road does not outweigh a meadow.
    The other arguments are as in :func:`gradient_seam`.

    Args:
        field: float[height, width], any unit.
        lines: where; their place does not matter, only their period.
        axis: which way the lines run.
        blur: sigma, in pixels, of the Gaussian whose difference to the field is its texture.
    """
    across, at, along = _upright(field, lines, axis)
    across = across.astype(np.float64)
    energy = (across - cv2.GaussianBlur(across, (0, 0), blur, borderType=cv2.BORDER_REFLECT)) ** 2
    cells = _cells(energy, lines.period, at, along)
    edges = np.arange(min(_BINS, lines.period)) * lines.period // min(_BINS, lines.period)
    logs = np.log(np.add.reduceat(cells, edges, axis=1) / np.diff(edges, append=lines.period) + _floor(energy))
    logs = _without_trend(logs.reshape(len(_bands(len(across), lines.period, along)), -1, logs.shape[1]))
    found = float(np.ptp(logs.mean(axis=(0, 1))))
    chance = float(np.median(_rolled(logs, together=False)))
    # What runs along the lines through several cells, a road or a shore, is one piece of chance and not many.
    columns = _rolled(logs, together=True)
    spread = float(columns.std())
    score = math.exp(chance - found)
    z = (found - float(np.median(columns))) / spread if spread > 0 else 0.0
    return Finding("texture", lines, axis, score, TEXTURE, z, score >= TEXTURE or z < SIGNIFICANT)


def tone_step(
    lab: Field, lines: Lines, axis: Axis = "vertical", where: NDArray[np.bool_] | None = None, reach: int = REACH
) -> Finding:
    """Compare the colours either side of lines.

    The score is the mean CIEDE2000 difference between the strips left and right of a line, one cell high, less
    the same about columns that are away from the lines. z is of ranks, as in :func:`gradient_seam`.

    Args:
        lab: float[height, width, 3], L*a*b*.
        lines: where.
        axis: which way the lines run.
        where: bool[height, width], the area that counts.
        reach: pixels in the width of a strip; at most a quarter of the period.
    """
    reach = max(1, min(reach, lines.period // 4))
    across, at, along = _upright(lab, lines, axis)
    counts = np.ones(across.shape[:2]) if where is None else _upright(where, lines, axis)[0].astype(np.float64)
    bands = [(across[rows] * counts[rows, :, None]).sum(axis=0) for rows in _bands(len(across), lines.period, along)]
    weight = [counts[rows].sum(axis=0) for rows in _bands(len(across), lines.period, along)]
    left, right, seen = _strips(np.stack(bands), np.stack(weight), reach)
    steps = np.where(seen, ciede2000(left, right), np.nan)
    # The first column that has a whole strip on its left is number ``reach``.
    cells = _pieces(steps, lines.period, at - reach)
    cells = cells[np.isfinite(cells).mean(axis=1) > 0.5]
    middle = lines.period // 2
    cells = cells[np.isfinite(cells[:, middle])]
    if not len(cells):
        return Finding("tone", lines, axis, 0.0, TONE, 0.0, True)
    cells = np.where(np.isfinite(cells), cells, np.nanmedian(cells, axis=1, keepdims=True))
    away = np.abs(np.arange(lines.period) - middle) >= 2 * reach
    score = float((cells[:, middle] - cells[:, away].mean(axis=1)).mean())
    z = _score_z(cells, middle)
    return Finding("tone", lines, axis, score, TONE, z, score < TONE or z < SIGNIFICANT)


def _upright(field: NDArray[Any], lines: Lines, axis: Axis) -> tuple[NDArray[Any], int, int]:
    """Turn a field so that its lines are vertical; give it, a line's column and a crossing line's row."""
    if axis == "vertical":
        return field, lines.x, lines.y
    return field.swapaxes(0, 1), lines.y, lines.x


def _bands(height: int, period: int, along: int) -> list[slice]:
    """Cut rows into the heights of cells, crossing lines between them."""
    tall = max(period, _CELL)
    first = along % period
    count = (height - first) // tall
    return [slice(first + k * tall, first + (k + 1) * tall) for k in range(count)] or [slice(0, height)]


def _cells(values: Values, period: int, at: int, along: int) -> Values:
    """Average the columns of cells: float[height, width] to float[cells, period], the line in the middle."""
    bands = [values[rows].mean(axis=0) for rows in _bands(len(values), period, along)]
    return _pieces(np.stack(bands), period, at)


def _pieces(profiles: Values, period: int, at: int) -> Values:
    """Cut profiles into whole periods about their lines: float[bands, width] to float[cells, period]."""
    first = (at - period // 2) % period
    turns = (profiles.shape[1] - first) // period
    _enough(turns + 1, period)
    return profiles[:, first : first + turns * period].reshape(-1, period)


def _enough(turns: int, period: int) -> None:
    if turns < PERIODS:
        raise ValueError(f"the picture shows {turns} periods of {period} pixels; a lattice is judged by {PERIODS}")


def _strips(sums: Values, weights: Values, reach: int) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Average the strips left and right of every column, and tell where both are at least half there."""
    total = np.pad(np.cumsum(sums, axis=1), ((0, 0), (1, 0), (0, 0)))
    weight = np.pad(np.cumsum(weights, axis=1), ((0, 0), (1, 0)))
    count, share = total[:, reach:] - total[:, :-reach], weight[:, reach:] - weight[:, :-reach]
    mean = count / np.maximum(share, 1e-9)[..., None]
    full = share >= 0.5 * max(1e-9, float(share.max()))
    return mean[:, :-reach], mean[:, reach:], full[:, :-reach] & full[:, reach:]


def _without_trend(cells: Values) -> Values:
    """Take the running mean over one period from cells, float[bands, turns, bins]; one turn is used up.

    A running mean over a whole period holds nothing that is locked to the lattice, so that all of that stays.
    """
    bands, _, bins = cells.shape
    rows = cells.reshape(bands, -1)
    kernel = np.ones(bins + 1)
    kernel[[0, -1]] = 0.5
    level = np.stack([np.convolve(row, kernel / kernel.sum(), mode="valid") for row in rows])
    flat = rows[:, bins // 2 : bins // 2 + level.shape[1]] - level
    return flat[:, : flat.shape[1] // bins * bins].reshape(bands, -1, bins)


def _rolled(cells: Values, together: bool) -> Values:
    """Give the range of the folded profile after rolling cells by distances of their own: float64[rolls].

    Args:
        cells: float64[bands, turns, bins].
        together: roll the cells along one line alike.
    """
    draw = np.random.Generator(np.random.Philox(0))
    bins = cells.shape[-1]
    cells = cells.mean(axis=0) if together else cells.reshape(-1, bins)
    rows, phases = np.arange(len(cells))[:, None], np.arange(bins)
    shifts = draw.integers(0, bins, (_ROLLS, len(cells), 1))
    return np.array([np.ptp(cells[rows, (phases + shift) % bins].mean(axis=0)) for shift in shifts])


def _floor(energy: Values) -> float:
    """Tell an energy below which there is no texture."""
    return 1e-2 * float(energy.mean()) + 1e-300


@lru_cache(maxsize=16)
def _normal_scores(count: int) -> Values:
    return np.array([NormalDist().inv_cdf((k + 0.5) / count) for k in range(count)])


def _score_z(cells: Values, middle: int) -> float:
    """Sum the normal scores of the ranks that the middle has in its cells, over their standard deviation."""
    count = cells.shape[1]
    order = np.argsort(cells, axis=1)
    ranked = np.take_along_axis(cells, order, axis=1)
    # Equal values share the mean of their scores.
    fresh = np.ones(cells.shape, bool)
    fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    starts = np.flatnonzero(fresh)
    sizes = np.diff(starts, append=cells.size)
    scores = np.add.reduceat(np.tile(_normal_scores(count), len(cells)), starts) / sizes
    variance = float((sizes * scores**2).sum()) / count
    places = np.argmax(order == middle, axis=1) + count * np.arange(len(cells))
    total = float(scores[np.cumsum(fresh)[places] - 1].sum())
    return total / math.sqrt(variance) if variance > 1e-12 else 0.0


def _gamma_chance(shape: int, value: float) -> float:
    """Tell how likely the sum of ``shape`` exponential variables is to exceed a value (Erlang's law)."""
    terms = [k * math.log(value) - math.lgamma(k + 1) - value for k in range(shape)] if value > 0 else [0.0]
    top = max(terms)
    return min(1.0, math.exp(top) * sum(math.exp(t - top) for t in terms))


def _gamma_limit(shape: int, chance: float) -> float:
    """Find the value that the sum of ``shape`` exponential variables exceeds with a given chance."""
    low, high = 0.0, shape + 60.0 + 12 * math.sqrt(shape)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _gamma_chance(shape, middle) > chance else (low, middle)
    return high
