"""The product's lattice leaves no seam that the audit can find; without any one of its parts it does.

The denoiser is the analytic one, so that nothing is trained and all is decided; the chain, its weights, samplers
and noise are the product's. See docs/log.md for the numbers.
"""

import cv2
import numpy as np
import pytest

from mapstyle.audit.colour import to_lab
from mapstyle.audit.seams import (
    Finding,
    Lines,
    examine,
    gradient_seam,
    lattice_lines,
    spectrum_grid,
    texture_loss,
    tone_step,
)
from mapstyle.engines.diffusion import chain as chains
from mapstyle.engines.diffusion.lattice import Rect, ramp
from mapstyle.engines.diffusion.settings import Windows
from mapstyle.frame import Frame
from tests.audit.analytic import GUARDED, SHEET, UNGUARDED, WIDE, analytic_chain, best_guess, truth

PERIODS = 12
SPOILT = 0.8
"""Share of the signal that is lost at the border of a window; 6 % of it is still lost 4 latents further in."""


def lines_of(windows: Windows, offsets: set[int], rect: Rect) -> list[Lines]:
    """All lines, in latents, of the lattices of a chain's phases."""
    return [
        line.seen_from(rect.x, rect.y)
        for offset in sorted(offsets)
        for line in lattice_lines(
            f"offset {offset}", windows.window, windows.stride, windows.guard, windows.ramp, offset, scale=1
        )
    ]


def judge(windows: Windows = GUARDED, **settings) -> list[Finding]:
    """Run the checks on the latents of a chain, all channels at once."""
    rect = Rect(-100, 37, 48 * PERIODS, 48 * PERIODS)
    chain = analytic_chain(windows, **settings)
    latents = chain.latents(rect)
    found = []
    lines = lines_of(windows, {layer.offset for layer in chain.lattices.phases}, rect)
    for field in (np.concatenate(list(latents)), np.concatenate(list(latents.swapaxes(1, 2)))):
        grey = np.clip(128 + 30 * field, 0, 255).astype(np.uint8)
        lab = to_lab(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))
        found += [spectrum_grid(field, lines[0]), texture_loss(field, lines[0])]
        for line in lines:
            found += [gradient_seam(field, line), tone_step(lab, line)]
        lines = [Lines(f"lying {line.name}", line.period, line.y, line.x) for line in lines]
    return found


def told(findings: list[Finding]) -> str:
    return "\n".join(str(f) for f in findings if not f.passed)


def failed(findings: list[Finding]) -> set[str]:
    return {f.check for f in findings if not f.passed}


def uniform(windows: Windows, scale: int = 1) -> np.ndarray:
    """Weigh a window alike wherever it counts, as MultiDiffusion does."""
    return (ramp(windows, scale) > 0).astype(np.float32)


def test_the_best_guess_is_that_of_the_whole_covariance():
    size, sigma = 7, 0.8
    places = np.arange(size)
    axis = np.exp(-np.abs(places[:, None] - places) / 8)
    whole = np.kron(axis, axis)
    noisy = np.random.default_rng(0).standard_normal((size, size))
    known = (whole @ np.linalg.solve(whole + sigma**2 * np.eye(size**2), noisy.ravel())).reshape(size, size)
    assert np.abs(best_guess(noisy, sigma) - known).max() < 1e-12
    assert np.abs(best_guess(noisy, 2 * sigma) - known).max() > 0.05
    field = truth(1)
    assert np.mean(field[:, :, 8:] * field[:, :, :-8]) == pytest.approx(np.exp(-1), abs=0.03)


@pytest.mark.parametrize(
    "settings",
    {
        "six fuses": {"phases": 6},
        "one fuse": {"phases": 1},
        "faults at the border": {"phases": 3, "spoilt": SPOILT},
        "noise between the steps": {"phases": 4, "sampler": "euler-ancestral"},
        "a guide, and faults": {"phases": 3, "guide": 1.0, "spoilt": SPOILT},
    }.items(),
    ids=lambda item: item[0],
)
def test_the_lattice_leaves_no_seam(settings):
    findings = judge(**settings[1])
    assert {f.check for f in findings} == {"gradient", "spectrum", "texture", "tone"}
    assert not failed(findings), told(findings)


def test_uniform_weights_leave_a_step(monkeypatch):
    tapered = judge(WIDE, phases=3)
    assert not failed(tapered), told(tapered)
    monkeypatch.setattr(chains, "ramp", uniform)
    findings = judge(WIDE, phases=3)
    assert {"gradient", "spectrum"} <= failed(findings)
    worst = max((f for f in findings if f.check == "gradient"), key=lambda f: f.z)
    assert worst.lines.name.endswith(("window starts", "window ends"))
    assert worst.score > 0.15


def test_without_a_guard_the_faults_of_borders_show():
    exact = judge(UNGUARDED, phases=1)
    assert not failed(exact), told(exact)
    findings = judge(UNGUARDED, phases=3, spoilt=SPOILT)
    assert {"gradient", "spectrum", "texture"} <= failed(findings)
    assert min(f.score for f in findings if f.check == "texture") < 0.85


@pytest.mark.parametrize("settings", [{"phases": 1}, {"phases": 4, "sampler": "euler-ancestral"}], ids=str)
def test_noise_of_every_window_s_own_loses_texture_in_the_ramps(settings):
    findings = judge(noise_of="window", **settings)
    assert {"gradient", "spectrum", "texture"} <= failed(findings)
    assert min(f.score for f in findings if f.check == "texture") < 0.85
    assert min(f.score for f in findings if f.check == "gradient") < -0.08


@pytest.mark.parametrize(
    ("decode", "seams"),
    [
        (Windows(window=56, stride=32, guard=6, ramp=12), False),
        (Windows(window=56, stride=32, guard=12, ramp=0), True),
    ],
    ids=["ramps", "hard joins"],
)
def test_windows_of_another_tone_are_joined_by_ramps(decode, seams):
    """In finished pictures, on the lines of painting, of decoding and of tiles."""
    chain = analytic_chain(phases=3, decode=decode, uneven=0.008)
    frame = Frame(SHEET, -300, 170, 1700, 1700)
    lines = (
        *lattice_lines("decode", decode.window, decode.stride, decode.guard, decode.ramp),
        *lattice_lines("paint", GUARDED.window, GUARDED.stride, GUARDED.guard, GUARDED.ramp),
        Lines("tile", 256),
    )
    picture = chain.paint(frame)
    findings = examine(picture, [line.seen_from(frame.column, frame.row) for line in lines])
    assert picture.std() > 15
    if seams:
        names = {f.lines.name for f in findings if not f.passed and f.check == "gradient"}
        assert names == {"decode, ramp starts"}
    else:
        assert not failed(findings), told(findings)
