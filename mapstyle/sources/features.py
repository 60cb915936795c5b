"""All features of a level in one ragged table, found by place and handed out as layers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.frame import Grid
from mapstyle.layers import PER_FEATURE, LayerKind, LayerStack, VectorLayer, spans
from mapstyle.sources.atlas import Shape
from mapstyle.sources.gather import Floats, Ints, offsets


@dataclass(frozen=True)
class Features:
    """Features of every kind and shape, layer after layer; the fields are those of a :class:`VectorLayer`.

    Attributes:
        layers: kind and shape of each layer.
        first: int64[l + 1], the first feature of each layer.
    """

    layers: tuple[tuple[LayerKind, Shape], ...]
    first: Ints
    coords: Floats
    rings: Ints
    features: Ints
    along: Floats
    boxes: Floats
    ids: NDArray[np.uint64]
    area: Floats
    scale: Floats
    rank: NDArray[np.int16]
    layer: NDArray[np.int8]
    bridge: NDArray[np.bool_]
    tunnel: NDArray[np.bool_]
    width: NDArray[np.float32]
    height: NDArray[np.float32]
    base: NDArray[np.float32]
    detail: NDArray[np.object_]
    names: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.ids)

    def prepare(self) -> None:
        """Build what finds features by place, before several threads ask for it at once."""
        assert self._tree is not None

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(shapely.box(*self.boxes.T))

    @cached_property
    def _reach(self) -> tuple[float, float]:
        """Leftmost and rightmost pixel of any feature."""
        return float(self.boxes[:, 0].min()), float(self.boxes[:, 2].max())

    def turns(self, box: tuple[float, float, float, float], turn: int) -> range:
        """Tell by how many turns round the world features may be moved to touch a box."""
        if not len(self) or not turn:
            return range(1 if len(self) else 0)
        left, right = self._reach
        return range(-int((right - box[0]) // turn), int((box[2] - left) // turn) + 1)

    def touching(self, box: tuple[float, float, float, float], turn: int) -> tuple[Ints, Ints]:
        """Find the features whose bounding boxes touch a box, and by how many turns each is moved."""
        found, moved = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for k in self.turns(box, turn):
            hit = self._tree.query(shapely.box(box[0] - k * turn, box[1], box[2] - k * turn, box[3]))
            found.append(hit.astype(np.int64))
            moved.append(np.full(len(hit), k))
        at, turns = np.concatenate(found), np.concatenate(moved)
        order = np.lexsort((turns, at))
        return at[order], turns[order]

    def stack(self, grid: Grid, chosen: Ints, turns: Ints) -> LayerStack:
        """Hand chosen features (in order) out as layers, each moved by turns round the world."""
        counts = self.features[chosen + 1] - self.features[chosen]
        ring = spans(self.features[chosen], counts)
        sizes = self.rings[ring + 1] - self.rings[ring]
        coords = self.coords[spans(self.rings[ring], sizes)]
        rows: dict[str, Any] = {name: getattr(self, name)[chosen] for name in PER_FEATURE}
        along, starts, owners = self.along[ring], offsets(sizes), offsets(counts)
        if turns.any():
            shift = turns * float(grid.turn)
            coords[:, 0] += np.repeat(np.repeat(shift, counts), sizes)
            rows["boxes"][:, 0] += shift
            rows["boxes"][:, 2] += shift
        parts: dict[Shape, dict[LayerKind, VectorLayer]] = {s: {} for s in Shape}
        cuts = np.searchsorted(chosen, self.first)
        for (kind, shape), a, b in zip(self.layers, cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            if a == b:
                continue
            r0, r1 = owners[a], owners[b]
            v0, v1 = starts[r0], starts[r1]
            parts[shape][kind] = VectorLayer(
                kind=kind,
                coords=coords[v0:v1],
                rings=starts[r0 : r1 + 1] - v0,
                features=owners[a : b + 1] - r0,
                along=along[r0:r1],
                **{name: row[a:b] for name, row in rows.items()},
            )
        return LayerStack(grid, parts[Shape.AREA], parts[Shape.LINE], parts[Shape.POINT])

    def layer_of(self, kind: LayerKind, shape: Shape) -> VectorLayer | None:
        """Give a whole layer, or None where there is none."""
        if (kind, shape) not in self.layers:
            return None
        at = self.layers.index((kind, shape))
        chosen = np.arange(self.first[at], self.first[at + 1])
        stack = self.stack(Grid.web_mercator(0), chosen, np.zeros(len(chosen), np.int64))
        by_shape: Mapping[Shape, Mapping[LayerKind, VectorLayer]] = {
            Shape.AREA: stack.areas,
            Shape.LINE: stack.lines,
            Shape.POINT: stack.points,
        }
        return by_shape[shape].get(kind)


ARRAYS = tuple(f.name for f in fields(Features) if f.name not in ("layers", "detail", "names"))
"""Fields of :class:`Features` that are plain arrays."""
