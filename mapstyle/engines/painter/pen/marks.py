"""Marks: what the pen sets down for a tree, a tuft, a reed, a stone ... each in many versions."""

import math
from collections.abc import Mapping

from mapstyle.engines.painter.pen.stamps import Drawing, Luck, Plate, Point, ring

_LIGHT = math.radians(225)
"""Where light comes from, the north-west, clockwise from east."""


def _dark(angle: float) -> float:
    """Tell how far a side is turned from the light, -1..1."""
    return -math.cos(angle - _LIGHT)


def _crown(plate: Plate, luck: Luck, radius: float, lobes: int) -> None:
    """Draw a round crown: an outline of lobes, heavy and shadowed in the south-east, leaves hinted inside."""
    cx, cy = plate.place(luck, radius * 1.18 + 1.0)
    phase, squash = luck(0, 6.28), luck(0.9, 1.08)
    swell = luck(0.07, 0.13)

    def edge(a: float) -> float:
        lobe = abs(math.sin(lobes * a / 2 + phase)) - 0.6
        return radius * (1 + swell * lobe + 0.05 * math.sin(2 * a + phase)) * (squash if abs(math.sin(a)) > 0.7 else 1)

    # The shadow on the ground, a crescent on the side away from the light.
    throw = 0.16 * radius + 0.5
    outline = ring(edge, 48, (cx, cy))
    shadow = [(x + throw, y + throw * 0.9) for x, y in outline]
    _fill(plate, shadow)
    plate.cover(outline)
    for k in range(48):
        d = _dark(2 * math.pi * (k + 0.5) / 48)
        width = 0.34 + 0.62 * max(0.0, d + 0.15)
        if d > -0.86 or luck() < 0.55:
            plate.line(outline[k : k + 2], width)
    _shade(plate, luck, cx, cy, edge, radius)


def _fill(plate: Plate, outline: list[Point]) -> None:
    held = plate.body.copy()
    plate.cover(outline)
    plate.ink[plate.body > held] = 255
    plate.body[:] = held


def _shade(plate: Plate, luck: Luck, cx: float, cy: float, edge: object, radius: float) -> None:
    """Hatch the dark third of a crown with short curved strokes and hint leaves with small arcs."""
    assert callable(edge)
    count = max(3, round(radius * 1.15))
    for k in range(count):
        a = _LIGHT + math.pi + (k - (count - 1) / 2) * (1.9 / count) + luck(-0.08, 0.08)
        outer, inner = edge(a) * 0.97, edge(a) * (0.42 + 0.30 * abs(k - (count - 1) / 2) / count + luck(-0.08, 0.1))
        bend = 0.16
        stroke = [
            (cx + r * math.cos(a + bend * (1 - r / outer)), cy + r * math.sin(a + bend * (1 - r / outer)))
            for r in (outer, (outer + inner) / 2, inner)
        ]
        plate.swelling(stroke, 0.78, 0.38)
    if radius > 4.2:
        for _ in range(2):
            a, r = luck(3.2, 5.2), radius * luck(0.30, 0.55)
            x, y, size = cx + r * math.cos(a), cy + r * math.sin(a), luck(0.8, 1.25)
            start = luck(0.2, 0.9)
            plate.line(
                [(x + size * math.cos(start + t), y + size * math.sin(start + t)) for t in (0, 0.6, 1.2, 1.8)], 0.42
            )


def crown(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a broad-leaved tree."""
    _crown(plate, luck, luck(4.3, 6.5), 5 + k % 4)


def bush(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a bush."""
    _crown(plate, luck, luck(2.4, 4.0), 4 + k % 3)


def conifer(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a fir from above: a star of needles, dense on the side away from the light."""
    radius = luck(4.0, 5.9)
    cx, cy = plate.place(luck, radius * 1.1 + 1.0)
    rays, phase = 9 + k % 4, luck(0, 6.28)
    tips = [radius * luck(0.86, 1.1) for _ in range(rays)]
    outline: list[Point] = []
    for i in range(rays):
        a, b = phase + 2 * math.pi * i / rays, phase + 2 * math.pi * (i + 0.5) / rays
        outline += [(cx + tips[i] * math.cos(a), cy + tips[i] * math.sin(a))]
        outline += [(cx + radius * 0.66 * math.cos(b), cy + radius * 0.66 * math.sin(b))]
    _fill(plate, [(x + 0.9, y + 0.8) for x, y in outline])
    plate.cover(outline)
    outline.append(outline[0])
    for i in range(len(outline) - 1):
        mid = math.atan2(outline[i][1] + outline[i + 1][1] - 2 * cy, outline[i][0] + outline[i + 1][0] - 2 * cx)
        plate.line(outline[i : i + 2], 0.34 + 0.5 * max(0.0, _dark(mid) + 0.1))
    for i in range(rays):
        a = phase + 2 * math.pi * i / rays
        if _dark(a) > -0.35:
            r = tips[i] * 0.9
            plate.swelling([(cx + r * t * math.cos(a), cy + r * t * math.sin(a)) for t in (1, 0.6, 0.15)], 0.7, 0.35)


def tuft(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a tuft of grass: three to five flicks from one root."""
    cx, cy = plate.place(luck, 4.6)
    size, count = luck(2.8, 4.0), 3 + k % 3
    for i in range(count):
        lean = (i - (count - 1) / 2) * 1.5 / count + luck(-0.1, 0.1)
        tall = size * (1 - 0.34 * abs(lean)) * luck(0.8, 1.1)
        root = cx + lean * 2.2
        flick = [(root + lean * tall * t * t * 0.75, cy + size * 0.4 - tall * t) for t in (0, 0.35, 0.7, 1.0)]
        plate.swelling(flick, 0.5, 0.28)


def reed(plate: Plate, luck: Luck, k: int) -> None:
    """Draw reeds: upright strokes over a broken line of water."""
    cx, cy = plate.place(luck, 4.4)
    half = luck(2.6, 3.8)
    plate.swelling([(cx - half, cy + 1.6), (cx, cy + 1.5), (cx + half, cy + 1.6)], 0.55, 0.4)
    if k % 3:
        plate.line([(cx - half * 0.4, cy + 2.9), (cx + half * 0.7, cy + 2.9)], 0.4)
    for i in range(3 + k % 3):
        x = cx + (i - 1.5) * luck(0.9, 1.3)
        tall = luck(2.4, 4.3)
        plate.swelling(
            [(x, cy + 1.4), (x + luck(-0.15, 0.15), cy + 1.4 - tall / 2), (x + luck(-0.5, 0.5), cy + 1.4 - tall)],
            0.55,
            0.3,
        )


def grave(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a small cross."""
    (cx, cy), size = plate.place(luck, 3.5), luck(1.5, 1.9)
    lean = luck(-0.12, 0.12)
    plate.line([(cx - lean, cy - size), (cx + lean, cy + size)], 0.62)
    plate.line([(cx - size * 0.62, cy - size * 0.3), (cx + size * 0.62, cy - size * 0.3)], 0.58)


def stone(plate: Plate, luck: Luck, k: int) -> None:
    """Draw rock: a few angular strokes with a dark side."""
    (cx, cy), size = plate.place(luck, 3.9), luck(1.5, 2.9)
    angles = [a + luck(-0.3, 0.3) for a in (2.6, 3.9, 5.3, 6.4, 7.7)]
    reaches = [(size * luck(0.7, 1.15), size * luck(0.55, 0.95)) for _ in angles]
    corners = [
        (cx + far * math.cos(a), cy + tall * math.sin(a)) for a, (far, tall) in zip(angles, reaches, strict=True)
    ]
    plate.cover(corners)
    plate.swelling(corners[:3], 0.4, 0.5)
    plate.swelling(corners[2:], 0.6, 1.0)
    for t in (0.35, 0.62, 0.88):
        x = cx + size * (t - 0.15)
        plate.swelling([(x, cy + size * (0.62 - 0.35 * t)), (x - size * 0.28, cy - size * (0.05 + 0.12 * t))], 0.6, 0.3)


def grains(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a pinch of sand: dots of many sizes."""
    half = plate.cell / 2 - 0.6
    for _ in range(2 + k % 4):
        x, y = luck(-half, half), luck(-half, half)
        plate.line([(x, y), (x + 0.05, y)], luck(0.45, 0.95))


def heather(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a low shrub of the heath: a crooked stem that forks into twigs."""
    (cx, cy), size = plate.place(luck, 3.8), luck(2.0, 3.0)
    for i in range(3 + k % 2):
        a = -2.5 + i * 1.75 / (2 + k % 2) + luck(-0.2, 0.2)
        tip = (cx + size * math.cos(a), cy + size * math.sin(a) * 0.8)
        plate.swelling([(cx, cy + 0.6), ((cx + tip[0]) / 2, (cy + tip[1]) / 2 + 0.3), tip], 0.6, 0.35)
        plate.line([(tip[0] - 0.4, tip[1]), (tip[0] + 0.4, tip[1] - 0.2)], 0.55)


def flake(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a scrap of rubble: one short crooked stroke, or two."""
    room = plate.cell / 2 - 2.0
    for _ in range(1 + k % 2 + int(plate.cell // 12)):
        x, y, a, size = luck(-room, room), luck(-room, room), luck(-0.6, 0.9), luck(0.8, 1.7)
        dx, dy = size * math.cos(a), size * math.sin(a)
        plate.swelling([(x - dx, y - dy), (x + luck(-0.3, 0.3), y - 0.4), (x + dx, y + dy)], 0.45, 0.75)


def bloom(plate: Plate, luck: Luck, k: int) -> None:
    """Draw a garden plant: a tiny ring or a dot."""
    (cx, cy), size = plate.place(luck, 2.2), luck(0.8, 1.5)
    if k % 3 == 0:
        plate.line([(cx, cy), (cx + 0.05, cy)], 0.9)
        return
    outline = ring(lambda _: size, 12, (cx, cy))
    plate.cover(outline)
    plate.line(outline, 0.42)
    plate.line(outline[:5], 0.8)


def blades(plate: Plate, luck: Luck, k: int) -> None:
    """Draw short grass: a few separate upright ticks."""
    room = plate.cell / 2 - 1.6
    for _ in range(2 + k % 2):
        x, y, tall = luck(-room, room), luck(-room, room), luck(1.1, 1.9)
        plate.swelling([(x, y + tall / 2), (x + luck(-0.2, 0.2), y), (x + luck(-0.4, 0.4), y - tall / 2)], 0.5, 0.3)


MARKS: Mapping[str, Drawing] = {
    "crown": crown,
    "conifer": conifer,
    "bush": bush,
    "tuft": tuft,
    "blades": blades,
    "reed": reed,
    "grave": grave,
    "stone": stone,
    "grains": grains,
    "heather": heather,
    "flake": flake,
    "bloom": bloom,
}
"""Every mark by name."""

HALF: Mapping[str, float] = {
    "crown": 9.0,
    "conifer": 8.0,
    "bush": 6.0,
    "tuft": 5.0,
    "reed": 5.0,
    "grave": 3.5,
    "stone": 4.5,
    "heather": 4.2,
    "bloom": 2.5,
}
"""Logical pixels from a mark's middle to its farthest stroke, at size 1; others may fill their cell."""
