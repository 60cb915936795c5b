"""Planted seams are found where they are, and nothing else is."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mapstyle.audit.colour import ciede2000, to_lab
from mapstyle.audit.seams import (
    Lines,
    examine,
    gradient_seam,
    lattice_lines,
    spectrum_grid,
    texture_loss,
    tone_step,
)

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
LINES = Lines("window", 64, 24, 10)
HEIGHT, WIDTH = 400, 512
COLUMNS = np.arange(WIDTH)
FROM_LINE = np.minimum((COLUMNS - LINES.x) % 64, (LINES.x - 1 - COLUMNS) % 64)
"""Columns between a pixel and the nearest line."""

# Sharma, Wu, Dalal (2005), table 1: L1 a1 b1, L2 a2 b2, difference.
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def noise(seed: int, slope: float, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Unit noise whose amplitude falls with frequency to the power of ``slope``: 0 is white, 2 is soft."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((height, width)))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    field = np.fft.irfft2(spectrum / np.maximum(radius, 1 / 64) ** slope, (height, width))
    return field / field.std()


def painted(field: np.ndarray) -> np.ndarray:
    """Levels 0-255 to an ochre picture: uint8[height, width, 3]."""
    coloured = 128 + (field[..., None] - 128) * np.array([1, 0.8, 0.6]) + np.array([0, 10, -20])
    return np.clip(np.round(coloured), 0, 255).astype(np.uint8)


def failed(picture, lines=LINES, axis="vertical", where=None) -> set[str]:
    return {f.check for f in examine(picture, [lines], where) if not f.passed and f.axis == axis}


def test_the_colour_difference_is_the_published_one():
    table = np.array(SHARMA.split(), float).reshape(-1, 7)
    assert len(table) == 34
    assert np.abs(ciede2000(table[:, :3], table[:, 3:6]) - table[:, 6]).max() < 6e-5
    assert np.abs(ciede2000(table[:, 3:6], table[:, :3]) - table[:, 6]).max() < 6e-5
    plain = np.linalg.norm(table[:, :3] - table[:, 3:6], axis=1)
    assert np.abs(plain - table[:, 6]).max() > 1


def test_lab_is_that_of_srgb():
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [119, 119, 119]]], np.uint8)
    known = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [50.03, 0, 0]]  # D65 white, 2 degrees
    assert np.abs(to_lab(colours)[0] - known).max() < 0.1


def test_a_lattice_names_every_place_where_windows_join():
    lines = lattice_lines("phase", window=128, stride=96, guard=8, ramp=16, offset=48)
    assert {line.period for line in lines} == {768}
    at = {line.name.removeprefix("phase, "): line.x for line in lines}
    assert at == {
        "window starts": 48 * 8,
        "window ends": (48 + 128 - 96) * 8,
        "ramp starts": 56 * 8,
        "ramp ends": 72 * 8,
        "ramp middles": 64 * 8,
    }
    assert LINES.seen_from(25, 10) == Lines("window", 64, 63, 0)


def test_a_clean_texture_passes():
    """Few false alarms for any spectrum, whatever the lattice; at z = 3 chance alone gives 0.1 to 0.3 %."""
    bad: Counter[str] = Counter()
    trials = 0
    for seed in range(4):
        for slope in (0, 0.5, 1, 1.5, 2):
            picture = painted(128 + 25 * noise(seed, slope))
            for period in (8, 48, 64):
                trials += 2
                found = examine(picture, [Lines("any", period, 7 * seed % period, 5 * seed % period)])
                bad.update(f.check for f in found if not f.passed)
    assert trials == 120
    assert max(bad.values(), default=0) <= 2, bad


def test_z_has_the_spread_it_claims():
    found = [
        (gradient_seam(field, LINES).z, texture_loss(field, LINES).z, tone_step(lab, LINES).z)
        for seed in range(40)
        for field in [noise(seed, 1)]
        for lab in [np.stack([50 + 10 * field, field, field], axis=2)]
    ]
    assert (np.abs(np.mean(found, axis=0)) < 0.5).all()
    assert (np.std(found, axis=0) > 0.7).all()
    assert (np.std(found, axis=0) < 1.3).all()
    chance = [spectrum_grid(noise(seed, 1), LINES).z for seed in range(40)]
    assert 0.2 < np.mean(np.array(chance) > 0) < 0.6  # under one half: several groups of harmonics are counted


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.png")), ids=lambda p: p.stem)
def test_a_painted_map_passes_and_a_seam_in_it_is_found(path):
    # Periods that no power of two divides: the painter's own noise has cells of powers of two.
    picture = np.asarray(Image.open(path).convert("RGB"))
    for period in (37, 43, 47):
        findings = examine(picture, [Lines("any", period, 11, 17)])
        assert all(f.passed for f in findings), [str(f) for f in findings if not f.passed]
    soft = cv2.GaussianBlur(picture, (0, 0), 2)
    near = np.abs((np.arange(picture.shape[1]) - 11 + 23) % 47 - 23) <= 3
    seamed = np.where(near[None, :, None], soft, picture)
    assert {"gradient", "texture"} <= failed(seamed, Lines("any", 47, 11, 17))


def cells(seed: int) -> np.ndarray:
    """A random value for every cell of LINES: float64[HEIGHT, WIDTH]."""
    tones = np.random.default_rng(seed).standard_normal((20, 20))
    return tones[(np.arange(HEIGHT)[:, None] - LINES.y) // 64, (COLUMNS - LINES.x) // 64]


def seam(kind: str, seed: int = 1) -> np.ndarray:
    """Plant a seam in levels 0-255."""
    texture = 25 * noise(seed, 1)
    soft = 6 * noise(seed, 2)
    if kind == "sharp step between soft windows":
        return 128 + soft + 3 * cells(seed)
    if kind == "blurred strip one pixel wide":
        return 128 + np.where(FROM_LINE < 1, cv2.GaussianBlur(texture, (0, 0), 1), texture)
    if kind == "blurred strip":
        return 128 + np.where(FROM_LINE < 6, cv2.GaussianBlur(texture, (0, 0), 1), texture)
    if kind == "ramp that lost texture":
        low = cv2.GaussianBlur(texture, (0, 0), 8)
        return 128 + low + (texture - low) * np.where(FROM_LINE < 6, np.sqrt(0.75), 1)
    if kind == "texture that swells by three parts in a hundred":
        return 128 + texture * (1 + 0.03 * np.cos(2 * np.pi * (COLUMNS - 5) / 64))
    if kind == "tone of windows":
        return 128 + 8 * noise(seed, 0) + 3 * cells(seed)
    if kind == "slope in every window":
        return 128 + 8 * noise(seed, 0) + 3 * ((COLUMNS - LINES.x) % 64 / 64 - 0.5)
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "checks"),
    {
        "sharp step between soft windows": {"gradient"},
        "blurred strip one pixel wide": {"gradient", "spectrum", "texture"},
        "blurred strip": {"gradient", "spectrum", "texture"},
        "ramp that lost texture": {"gradient", "spectrum", "texture"},
        "texture that swells by three parts in a hundred": {"spectrum"},
        "tone of windows": {"tone"},
        "slope in every window": {"tone"},
    }.items(),
)
def test_a_planted_seam_is_found(kind, checks):
    for seed in (1, 2):
        picture = painted(seam(kind, seed))
        assert checks <= failed(picture), kind
        # The same, lying down: the other axis finds it, and this one finds no more than chance.
        lying = np.ascontiguousarray(picture.swapaxes(0, 1))
        turned = Lines("window", 64, LINES.y, LINES.x)
        assert checks <= failed(lying, turned, "horizontal")
        if kind not in ("sharp step between soft windows", "tone of windows"):
            assert not failed(picture, LINES, "horizontal")


def test_a_seam_is_found_on_its_line_and_on_no_other():
    picture = painted(seam("sharp step between soft windows"))
    assert "gradient" in failed(picture)
    assert "tone" in failed(painted(seam("tone of windows")))
    for shift in (16, 32, 48):
        assert "gradient" not in failed(picture, Lines("beside", 64, LINES.x + shift, LINES.y))
        assert "tone" not in failed(painted(seam("tone of windows")), Lines("beside", 64, LINES.x + shift, LINES.y))


def test_the_step_seam_has_a_sign():
    blurred = gradient_seam(seam("blurred strip"), LINES)
    sharp = gradient_seam(seam("sharp step between soft windows"), LINES)
    assert blurred.score < -0.5
    assert blurred.z < -3
    assert sharp.score > 0.1
    assert sharp.z > 3


def test_texture_is_measured_as_a_share():
    assert texture_loss(seam("ramp that lost texture"), LINES).score == pytest.approx(0.75, abs=0.06)
    assert texture_loss(25 * noise(1, 1), LINES).score == pytest.approx(1, abs=0.04)


def test_a_line_that_is_no_lattice_is_no_seam():
    """One road along one line, a shore and a slope over the whole picture do not repeat."""
    field = 128 + 20 * noise(3, 1)
    field[:, LINES.x + 64 * 3 - 1 : LINES.x + 64 * 3 + 1] += 60
    field[:, WIDTH // 2 + 9 :] *= 0.4
    field += np.linspace(-30, 30, WIDTH)
    assert not failed(painted(field))


@pytest.mark.parametrize("seed", [5, 6])
def test_tone_is_compared_where_one_asks(seed):
    """A step in calm water is lost beside a restless land, unless the water is looked at alone."""
    water = np.arange(HEIGHT)[:, None] + 0 * COLUMNS >= LINES.y + 5 * 64
    land = 128 + 30 * noise(seed, 1.5)
    calm = 140 + np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH))
    picture = painted(np.where(water, calm + 2 * cells(seed), land))
    assert "tone" not in failed(picture)
    assert "tone" in failed(picture, where=water)
    assert "tone" not in failed(painted(np.where(water, calm, land)), where=water)
    assert "tone" not in failed(picture, where=np.zeros_like(water))


def test_a_flat_picture_has_no_seams_and_a_step_of_one_level_in_it_is_one():
    flat = np.full((HEIGHT, WIDTH, 3), (150, 180, 200), np.uint8)
    assert not failed(flat)
    stepped = flat + (((COLUMNS - LINES.x) // 64) % 2).astype(np.uint8)[None, :, None]
    assert {"gradient", "spectrum"} <= failed(stepped)


def test_a_picture_too_small_to_judge_is_refused():
    with pytest.raises(ValueError, match="shows 3 periods of 96 pixels; a lattice is judged by 4"):
        examine(np.zeros((300, 300, 3), np.uint8), [Lines("any", 96)])
