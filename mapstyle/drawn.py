"""Name what a frame draws: all geography that can change a pixel of it, and nothing that cannot."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame
from mapstyle.layers import LAND_COVER, ROADS, WORDS_ONLY, LayerKind, Layers, RasterLayer, VectorLayer
from mapstyle.levels import CARTOGRAPHIC, Levels
from mapstyle.placed import PlacedLabel

_NUMBER = {kind: number for number, kind in enumerate(LayerKind)}
_WHOLE = frozenset((LayerKind.BUILDING, LayerKind.TREE_ROW))
"""Kinds of which any corner decides all: a roof is that of the whole house, trees are counted from the row's start."""
_COLOURED = frozenset((*LAND_COVER, LayerKind.BUILDING, LayerKind.BORDER, LayerKind.TREE, LayerKind.TREE_ROW))
"""Kinds whose ids are seen: they choose tints and sizes."""
_PILES = {**dict.fromkeys(LAND_COVER, 1), LayerKind.BUILDING: 2, LayerKind.BORDER: 3}
"""Areas that are drawn over one another, larger first, and with which; all others are drawn as a union."""
_SCALED_AREAS = frozenset((LayerKind.BUILDING,))
_MEASURED = frozenset((*ROADS, LayerKind.RAIL))
"""Lines of which it is seen how far along them a place lies."""
_BESIDE = frozenset((*LAND_COVER, LayerKind.BUILDING))
"""Areas that change no pixel but those they cover, and their neighbours; shores, lines and trees reach further."""
_NEIGHBOURS, _CALM, _SPARE = 2, 24, 16
"""Logical pixels beyond the frame within which such areas are seen, and labels with their calm zones, and what a
line has beside it: its casing, and the field of its coordinates."""
_GRAIN = float(1 << 20)
"""Parts of a pixel to which lengths along lines are rounded: their last bits hang on what else was added up."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def digest_drawn(
    layers: Layers,
    frame: Frame,
    labels: Sequence[PlacedLabel],
    levels: Levels | None = None,
    needs: Collection[str] | None = None,
    around: int = 0,
) -> dict[str, str]:
    """Digest what a frame draws, part by part.

    Shapes are clipped edge by edge: an edge that touches the frame counts with both its ends, to the last bit,
    and of what lies outside it is only kept whether the frame's corner is covered. So a corner moved far away
    changes nothing. What decides pixels from outside the frame, and how that is seen:

    - the order of areas that cover each other goes by whole areas: the order is digested, not the sizes;
    - tints go by ids (parcels, territories, houses, trees): the ids are digested;
    - a house's height and roof come of its whole outline, a row's trees of the whole row: digested whole;
    - a line's width goes by the scale at the middle of the whole line: the scale is digested;
    - lengths along a merged road or railway begin far away: the length at every edge is digested;
    - a label's place, path and rivals lie up to thousands of pixels away: the placed label is digested;
    - halos and engines look as far as they say, and terrain in ``depth`` its own radius: the frame is wider
      by these;
    - distances to the shore, wide lines, crowns and slopes look ``around`` the frame, and houses, land and the
      calm zones of labels a little further than it.

    Args:
        layers: the geography.
        frame: the frame widened by what halos and the engine look at around it.
        labels: in drawing order; those that do not touch the frame are passed over.
        levels: what the style shows; left out, everything counts as shown.
        needs: planes that are looked at, and ``imagery``; left out, all are.
        around: logical pixels beyond the frame at which features still change its planes
            (``read_reach`` of the controls); 0 when the frame has been widened by these too.

    Returns:
        Areas, lines, points, heights, imagery and labels, with a digest each: the same for the same picture, whatever
        the order of features, the process or the cache.
    """
    wide = frame.pad(max(around, _NEIGHBOURS))
    stack = layers.read(wide)
    shown = [
        [layer for kind, layer in sorted(by_kind.items()) if _shows(kind, frame.grid.level, levels)]
        for by_kind in (stack.areas, stack.lines, stack.points)
    ]
    areas, lines, points = (_Table.of(found) if found else None for found in shown)
    reach = [_line_reach(layer, frame.grid.level, levels, around) for layer in shown[1]]
    along = needs is None or not {"road_v", "rail_v"}.isdisjoint(needs)
    ground = (
        layers.elevation(frame.pad(_NEIGHBOURS))
        if needs is None or not {"elevation", "hillshade"}.isdisjoint(needs)
        else None
    )
    seen = layers.imagery(frame) if needs is None or "imagery" in needs else None
    return {
        "areas": fingerprint(*_areas(areas, frame, around)) if areas else "",
        "lines": fingerprint(*_lines(lines, frame, np.concatenate(reach), along)) if lines else "",
        "points": fingerprint(*_points(points, wide)) if points else "",
        "heights": fingerprint(*_heights(ground)),
        "imagery": "" if seen is None else fingerprint(seen),
        "labels": digest_labels(labels, frame.pad(_CALM)),
    }


def digest_labels(labels: Sequence[PlacedLabel], frame: Frame) -> str:
    """Digest the labels that touch a frame, in their order."""
    return fingerprint(*_words(labels, frame))


def _shows(kind: LayerKind, level: float, levels: Levels | None) -> bool:
    return kind not in WORDS_ONLY and (levels is None or levels.shows(kind, level))


def _line_reach(layer: VectorLayer, level: float, levels: Levels | None, around: int) -> Floats:
    """Give how far from their axes lines change pixels, float64[f], logical pixels."""
    if levels is None or layer.kind not in CARTOGRAPHIC:
        return np.full(len(layer), float(around))
    # All of the width stands for half of it, and for a country's border, which is wider by three fifths.
    return np.minimum(levels.line_width(layer.kind, level, layer.scale, layer.width) + _SPARE, around)


@dataclass(frozen=True)
class _Table:
    """Features of one shape and several kinds, one row each; fields mean what they mean in a :class:`VectorLayer`."""

    kind: Ints
    coords: Floats
    rings: Ints
    features: Ints
    along: Floats
    ids: NDArray[np.uint64]
    area: Floats
    scale: Floats
    plain: tuple[NDArray[np.generic], ...]
    detail: NDArray[np.object_]

    @classmethod
    def of(cls, layers: Sequence[VectorLayer]) -> "_Table":
        """Put layers together."""

        def column(name: str) -> NDArray[np.generic]:
            return np.concatenate([getattr(layer, name) for layer in layers])

        return cls(
            kind=np.repeat([_NUMBER[layer.kind] for layer in layers], [len(layer) for layer in layers]),
            coords=np.concatenate([layer.coords for layer in layers]),
            rings=_offsets(np.concatenate([np.diff(layer.rings) for layer in layers])),
            features=_offsets(np.concatenate([np.diff(layer.features) for layer in layers])),
            along=np.concatenate([layer.along for layer in layers]),
            ids=np.concatenate([layer.ids for layer in layers]),
            area=np.concatenate([layer.area for layer in layers]),
            scale=np.concatenate([layer.scale for layer in layers]),
            plain=tuple(column(name) for name in ("rank", "layer", "bridge", "tunnel", "width", "height", "base")),
            detail=np.concatenate([layer.detail for layer in layers]),
        )

    def of_kinds(self, kinds: Collection[LayerKind]) -> Flags:
        """Tell which features are of one of some kinds."""
        return np.isin(self.kind, [_NUMBER[kind] for kind in kinds])

    def rows(self, chosen: Ints, scaled: Flags) -> tuple[object, ...]:
        """Give what decides pixels of the chosen features, apart from their shapes; in the order given."""
        return (
            self.kind[chosen],
            np.where(self.of_kinds(_COLOURED), self.ids, np.uint64(0))[chosen],
            np.where(scaled, self.scale, 0.0)[chosen],
            *(column[chosen] for column in self.plain),
            "\n".join(map(str, self.detail[chosen])),
        )


@dataclass(frozen=True)
class _Edges:
    """Straight pieces of features: where they begin and end, and whose they are."""

    start: Floats
    end: Floats
    ring: Ints
    feature: Ints
    first: Flags
    last: Flags

    @classmethod
    def of(cls, table: _Table, closed: bool) -> "_Edges":
        """Take features apart; ``closed`` rings go back to their start."""
        sizes = np.diff(table.rings)
        ring = np.repeat(np.arange(len(sizes)), sizes)
        after = np.arange(1, len(ring) + 1)
        ends = table.rings[1:][sizes > 0] - 1
        after[ends] = table.rings[:-1][sizes > 0] if closed else ends
        start, end = table.coords, table.coords[after]
        real = np.flatnonzero((start != end).any(axis=1))
        ring = ring[real]
        feature = np.repeat(np.arange(len(table.kind)), np.diff(table.features))[ring]
        first, last = np.ones((2, len(ring)), np.bool_)
        first[1:] = last[:-1] = ring[1:] != ring[:-1]
        return cls(start[real], end[real], ring, feature, first, last)

    def touch(self, frame: Frame, reach: Floats) -> Flags:
        """Tell which edges touch a frame widened, for each feature, by its ``reach``."""
        left, top, right, bottom = frame.logical_box
        far = reach[self.feature]
        low, high = np.minimum(self.start, self.end), np.maximum(self.start, self.end)
        near = (high[:, 0] >= left - far) & (low[:, 0] <= right + far)
        near &= (high[:, 1] >= top - far) & (low[:, 1] <= bottom + far)
        found = np.flatnonzero(near)
        run, far = self.end[found] - self.start[found], far[found]
        away = np.array([(left + right) / 2, (top + bottom) / 2]) - self.start[found]
        # With all four corners on one side, an edge passes by (separating axes).
        span = np.abs(run[:, 0]) * ((bottom - top) / 2 + far) + np.abs(run[:, 1]) * ((right - left) / 2 + far)
        near[found] = np.abs(run[:, 0] * away[:, 1] - run[:, 1] * away[:, 0]) <= span
        return near

    def odd(self, x: float, y: float, count: int) -> Flags:
        """Tell which of ``count`` features cover a place, by the even-odd rule."""
        crossing = np.flatnonzero((self.start[:, 1] <= y) != (self.end[:, 1] <= y))
        a, b = self.start[crossing], self.end[crossing]
        met = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
        crossed = np.bincount(self.feature[crossing[met > x]], minlength=count)
        return np.asarray(crossed % 2 == 1)


def _areas(table: _Table, frame: Frame, around: int) -> tuple[object, ...]:
    count = len(table.kind)
    edges = _Edges.of(table, closed=True)
    left, top, _, _ = frame.logical_box
    covers = edges.odd(left, top, count)
    whole = table.of_kinds(_WHOLE)
    touch = edges.touch(frame, np.where(table.of_kinds(_BESIDE), _NEIGHBOURS, max(around, _NEIGHBOURS)))
    drawn = covers | (np.bincount(edges.feature[touch], minlength=count) > 0)
    taken = np.flatnonzero((touch | whole[edges.feature]) & drawn[edges.feature])
    pile = np.array([_PILES.get(kind, 0) for kind in LayerKind])[table.kind]
    order = np.lexsort((table.kind, table.ids, np.where(pile > 0, -table.area, table.kind), pile))
    order = order[drawn[order]]
    place = np.zeros(count, np.int64)
    place[order] = np.arange(len(order))
    owner = edges.feature[taken]
    # Where a ring begins may hang on a corner far away, so edges go by place; a whole house keeps its own order.
    loose = ~whole[owner]
    x, y = np.where(loose, edges.start[taken].T, 0.0)
    sorted_edges = np.lexsort((y, x, place[owner]))
    taken, owner, loose = taken[sorted_edges], owner[sorted_edges], loose[sorted_edges]
    return (
        "areas",
        *table.rows(order, table.of_kinds(_SCALED_AREAS)),
        covers[order],
        place[owner],
        edges.start[taken],
        edges.end[taken],
        edges.first[taken] & ~loose,
    )


def _lines(table: _Table, frame: Frame, reach: Floats, along: bool) -> tuple[object, ...]:
    count = len(table.kind)
    edges = _Edges.of(table, closed=False)
    whole = table.of_kinds(_WHOLE)
    taken = np.flatnonzero(edges.touch(frame, reach) | whole[edges.feature])
    drawn = np.bincount(edges.feature[taken], minlength=count) > 0
    order = np.lexsort((table.ids, table.kind))
    order = order[drawn[order]]
    place = np.zeros(count, np.int64)
    place[order] = np.arange(len(order))
    before = np.zeros(len(taken))
    if along:
        length = np.hypot(*(edges.end - edges.start).T)
        total = np.cumsum(length) - length
        begin = np.searchsorted(edges.ring, edges.ring[taken])
        before = np.rint((table.along[edges.ring[taken]] + total[taken] - total[begin]) * _GRAIN)
        before[~table.of_kinds(_MEASURED)[edges.feature[taken]]] = 0.0
    sorted_edges = np.argsort(place[edges.feature[taken]], kind="stable")
    taken = taken[sorted_edges]
    return (
        "lines",
        *table.rows(order, ~table.of_kinds((LayerKind.BORDER,))),
        place[edges.feature[taken]],
        edges.start[taken],
        edges.end[taken],
        edges.first[taken],
        edges.last[taken],
        before[sorted_edges],
    )


def _points(table: _Table, frame: Frame) -> tuple[object, ...]:
    left, top, right, bottom = frame.logical_box
    place = table.coords[table.rings[table.features[:-1]]]
    x, y = place.T
    order = np.lexsort((y, x, table.ids, table.kind))
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    order = order[inside[order]]
    return "points", *table.rows(order, np.ones(len(place), np.bool_)), place[order]


def _heights(ground: RasterLayer | None) -> tuple[object, ...]:
    if ground is None or not ground.known.any():
        return ("no heights",)
    # Nearly all frames lie wholly inside their heights, and digesting as many ones again takes as long.
    return ground.values, "known" if (ground.known == 1).all() else ground.known


def _words(labels: Sequence[PlacedLabel], frame: Frame) -> tuple[object, ...]:
    left, top, right, bottom = frame.logical_box
    seen = [
        label
        for label in labels
        if label.box[2] >= left and label.box[0] <= right and label.box[3] >= top and label.box[1] <= bottom
    ]
    glyphs = [(g.font, g.glyph, g.x, g.y, g.angle) for label in seen for g in label.glyphs]
    told = [(a.text, a.kind, a.rank, a.size, a.box, a.detail, a.x, a.y, a.mark, len(a.glyphs)) for a in seen]
    return told, np.array(glyphs, np.float64)


def _offsets(sizes: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
