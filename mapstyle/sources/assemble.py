"""Put together what one file holds: layers read, mended, told apart by kind, and the sea built."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.errors import SourceError
from mapstyle.fingerprint import stable_id
from mapstyle.frame import MAX_LATITUDE
from mapstyle.layers import LayerKind
from mapstyle.sources.archives import unpacked
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape
from mapstyle.sources.mend import areas as areas_of
from mapstyle.sources.mend import as_shape, clean
from mapstyle.sources.reader import RawLayer, SourceName, known_suffix, read_layers
from mapstyle.sources.schema import Draft, Reading, read_schema
from mapstyle.sources.schema_natural_earth import is_land, is_natural_earth, plain_name
from mapstyle.sources.sea import Box, build_sea, shores, shores_of_areas

K = LayerKind
Key = tuple[LayerKind, Shape]
Tables = dict[Key, FeatureTable]

ROWS = tuple(f.name for f in fields(FeatureTable) if f.name not in ("kind", "shape"))
"""Fields of a table with one row a feature."""

SAME_NAME: Mapping[Key, float] = {(K.PLACE, Shape.POINT): 0.1, (K.POI, Shape.POINT): 0.003}
"""Degrees within which two points of one name are one thing, mapped as a node and once more as an area."""

WORLD_BOX: Box = (-180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE)


def read_file(name: SourceName, digest: str) -> Atlas:
    """Read one vector file into an atlas of its own."""
    shown = name.path.name
    gathered = _Gathered(shown)
    with unpacked(name.path, shown) as files:
        layer = name.layer
        if known_suffix(name.path.name) == ".zip" and layer is not None:
            picked = [f for f in files if f.name.split(".")[0] == layer]
            files, layer = (picked, None) if picked else (files, layer)
        for file in files:
            for raw in read_layers(file, shown, layer):
                gathered.add(raw, name.kind)
    return gathered.finish(digest)


class _Gathered:
    """What the layers of one file have given so far."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.pieces: dict[Key, list[FeatureTable]] = defaultdict(list)
        self.fates: Counter[str] = Counter()
        self.attributions: list[str] = []
        self.untold: list[str] = []
        self.notes: list[str] = []
        self.land: list[Any] = []
        self.coast_is_directed = False
        self.layers: set[str] = set()
        self.seen = 0

    def add(self, raw: RawLayer, kind: LayerKind | None) -> None:
        """Mend a layer's shapes and sort its features into kinds."""
        if len(raw) == 0:
            return
        self.seen += 1
        self.layers.add(plain_name(raw.name))
        geometry, fates = clean(raw.geometry, raw.crs, self.shown)
        if raw.broken:
            fates["whose shape cannot be read were left out"] = raw.broken
            fates["without a shape were left out"] -= raw.broken
        self.fates.update(fates)
        raw = replace(raw, geometry=geometry)
        reading = read_schema(raw, kind)
        if reading is None:
            self.untold.append(raw.name)
            return
        if is_land(raw) and kind is None:
            self.land.extend(areas_of(geometry)[~shapely.is_missing(areas_of(geometry))])
        if reading.attribution and reading.attribution not in self.attributions:
            self.attributions.append(reading.attribution)
        self.coast_is_directed |= not (is_natural_earth(raw) and kind is None)
        for draft in reading.drafts:
            table = self._table(raw, reading, draft)
            if len(table):
                self.pieces[draft.kind, draft.shape].append(table)

    def _table(self, raw: RawLayer, reading: Reading, draft: Draft) -> FeatureTable:
        rows = draft.rows
        shapes = as_shape(raw.geometry[rows], draft.shape)
        fits = ~shapely.is_missing(shapes)
        if lost := int((~fits & ~shapely.is_missing(raw.geometry[rows])).sum()):
            self.fates[f"of kind {draft.kind} whose shape does not fit it were left out"] += lost
        rows = rows[fits]
        width = reading.width[rows]
        if draft.width is not None:
            width = np.where(np.isfinite(width), width, draft.width[fits]).astype(np.float32)
        return FeatureTable(
            draft.kind,
            draft.shape,
            geometry=shapes[fits],
            ids=raw.ids[rows],
            rank=draft.rank[fits],
            layer=reading.layer[rows],
            bridge=reading.bridge[rows],
            tunnel=reading.tunnel[rows],
            width=width,
            height=reading.height[rows],
            base=reading.base[rows],
            detail=draft.detail[fits],
            names=reading.names[rows],
        )

    def finish(self, digest: str) -> Atlas:
        """Build the sea, tidy the borders and close the atlas."""
        if not self.pieces and not self.land:
            if self.untold:
                raise SourceError(
                    f"{self.shown}: nothing tells what its features are; say it, as in {self.shown}=park "
                    f"(kinds: {', '.join(K)})"
                )
            raise SourceError(f"{self.shown} holds no feature that a map could show")
        if "populated_places" in self.layers:
            self._forget_simple_places()
        tables: Tables = {key: _unique(join_tables(parts)) for key, parts in self.pieces.items()}
        for key in tables.keys() & SAME_NAME.keys():
            tables[key] = _once_by_name(tables[key], SAME_NAME[key])
        self._tell()
        bounds = bounds_of(tables) if tables else WORLD_BOX
        if (borders := tables.get((K.BORDER, Shape.LINE))) is not None:
            tables[K.BORDER, Shape.LINE] = _tidy_borders(borders)
        self._add_sea(tables, bounds)
        return Atlas(tables, digest, bounds, ", ".join(self.attributions), (), tuple(self.notes))

    def _forget_simple_places(self) -> None:
        """Keep one of Natural Earth's two layers of the same towns: the one with more names."""
        parts = self.pieces.get((K.PLACE, Shape.POINT), [])
        if len(parts) == 2:
            best = max(parts, key=lambda t: sum(len(n) for n in t.names))
            self.pieces[K.PLACE, Shape.POINT] = [best]

    def _tell(self) -> None:
        for fate, count in sorted((+self.fates).items()):
            self.notes.append(f"{self.shown}: {count} features {fate}")
        if self.untold:
            which = ", ".join(self.untold)
            self.notes.append(f"{self.shown}: nothing tells what is in its layers {which}; they were left out")

    def _add_sea(self, tables: Tables, bounds: Box) -> None:
        coast, ocean = tables.get((K.COAST, Shape.LINE)), tables.get((K.OCEAN, Shape.AREA))
        if ocean is None and self.land:
            water = shapely.difference(shapely.box(*WORLD_BOX), shapely.union_all(self.land))
            ocean = _plain_table(K.OCEAN, Shape.AREA, list(shapely.get_parts(water)))
            tables[K.OCEAN, Shape.AREA] = ocean
        if ocean is not None:
            edge = bounds_of({(K.OCEAN, Shape.AREA): ocean})
            true = shores_of_areas(ocean.geometry, edge) if coast is None else shores(coast.geometry)
        elif coast is not None and self.coast_is_directed:
            sea = build_sea(shapely.get_parts(coast.geometry), bulk_bounds(tables, bounds))
            if sea.joined:
                self.notes.append(f"{self.shown}: {sea.joined} gaps in the coastline were bridged")
            if sea.areas:
                tables[K.OCEAN, Shape.AREA] = _plain_table(K.OCEAN, Shape.AREA, sea.areas)
            true = sea.shores
        elif coast is not None:
            true = shores(coast.geometry)
        else:
            return
        tables.pop((K.COAST, Shape.LINE), None)
        if true:
            tables[K.COAST, Shape.LINE] = _plain_table(K.COAST, Shape.LINE, true)


def _plain_table(kind: LayerKind, shape: Shape, shapes: list[Any]) -> FeatureTable:
    """Make a table of shapes that were built, and so have no attributes; their ids tell where they are."""
    geometry = np.empty(len(shapes), object)
    geometry[:] = shapes
    names = np.empty(len(shapes), object)
    names[:] = [{} for _ in shapes]
    first = [shapely.get_coordinates(s)[0].tobytes().hex() for s in shapes]
    ids = [stable_id(f"{kind}/{place}/{i}") for i, place in enumerate(first)]
    size = len(shapes)
    return FeatureTable(
        kind, shape, geometry, np.array(ids, np.uint64),
        rank=np.zeros(size, np.int16), layer=np.zeros(size, np.int8), bridge=np.zeros(size, np.bool_),
        tunnel=np.zeros(size, np.bool_), width=np.full(size, np.nan, np.float32),
        height=np.full(size, np.nan, np.float32), base=np.zeros(size, np.float32),
        detail=np.full(size, "", object), names=names,
    )  # fmt: skip


def join_tables(parts: list[FeatureTable]) -> FeatureTable:
    """Put tables of the same kind and shape one after another."""
    if len(parts) == 1:
        return parts[0]
    rows = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ROWS}
    return FeatureTable(parts[0].kind, parts[0].shape, **rows)


def pick_rows(table: FeatureTable, chosen: NDArray[np.int64]) -> FeatureTable:
    """Give the table of the chosen features."""
    return FeatureTable(table.kind, table.shape, **{name: getattr(table, name)[chosen] for name in ROWS})


def _unique(table: FeatureTable) -> FeatureTable:
    """Keep the first of features that are one and the same in the source."""
    _, first = np.unique(table.ids, return_index=True)
    return table if len(first) == len(table) else pick_rows(table, np.sort(first))


def _once_by_name(table: FeatureTable, near: float) -> FeatureTable:
    """Keep of points with the same name, one near the other, the one of highest rank (of these the first)."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i in np.argsort(table.rank, kind="stable"):
        if name := table.names[i].get(""):
            groups[name].append(int(i))
    gone = []
    for rows in groups.values():
        kept: list[int] = []
        for i in rows:
            if any(table.geometry[i].distance(table.geometry[k]) < near for k in kept):
                gone.append(i)
            else:
                kept.append(i)
    return pick_rows(table, np.setdiff1d(np.arange(len(table)), gone)) if gone else table


def bounds_of(tables: Mapping[Key, FeatureTable]) -> Box:
    """Find west, south, east, north of all features."""
    boxes = np.concatenate([shapely.bounds(t.geometry) for t in tables.values()])
    west, south = boxes[:, :2].min(axis=0)
    east, north = boxes[:, 2:].max(axis=0)
    return float(west), float(south), float(east), float(north)


def bulk_bounds(tables: Mapping[Key, FeatureTable], bounds: Box) -> Box:
    """Find the box that holds the middles of 98 % of the features, without the few that lie far outside."""
    boxes = np.concatenate([shapely.bounds(t.geometry) for t in tables.values()])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    if len(middles) < 100:
        return bounds
    (west, south), (east, north) = np.quantile(middles, [0.01, 0.99], axis=0)
    return float(west), float(south), float(east), float(north)


def _tidy_borders(table: FeatureTable) -> FeatureTable:
    """Draw each stretch of border once, at its highest rank: neighbours and levels share them."""
    coords, owner = shapely.get_coordinates(table.geometry, return_index=True)
    parts, part_owner = shapely.get_parts(table.geometry, return_index=True)
    coords, part = shapely.get_coordinates(parts, return_index=True)
    owner = part_owner[part]
    same = part[1:] == part[:-1]
    edges, owner = np.stack([coords[:-1], coords[1:]], axis=1)[same], owner[:-1][same]
    flip = (edges[:, 0, 0] > edges[:, 1, 0]) | ((edges[:, 0, 0] == edges[:, 1, 0]) & (edges[:, 0, 1] > edges[:, 1, 1]))
    edges[flip] = edges[flip][:, ::-1]
    order = np.argsort(table.rank[owner], kind="stable")
    _, first = np.unique(edges[order].reshape(-1, 4), axis=0, return_index=True)
    kept = order[np.sort(first)]
    tidy = []
    ranks, details = table.rank[owner[kept]], table.detail[owner[kept]]
    for rank in np.unique(ranks):
        for detail in sorted(set(details[ranks == rank])):
            chosen = kept[(ranks == rank) & (details == detail)]
            merged = shapely.line_merge(shapely.multilinestrings(shapely.linestrings(edges[chosen])))
            part_table = _plain_table(K.BORDER, Shape.LINE, list(shapely.get_parts(merged)))
            part_table.rank[:] = rank
            part_table.detail[:] = detail
            tidy.append(part_table)
    return join_tables(tidy)
