"""What a node of a cluster needs before it can make blocks: the same sources, the same store, the same weights."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mapstyle.batch.work import Recipe
from mapstyle.engines.base import EngineSpec
from mapstyle.engines.diffusion.fit import look
from mapstyle.engines.diffusion.spec import DiffusionSpec
from mapstyle.errors import EngineError, OutputError, SourceError
from mapstyle.fingerprint import fingerprint
from mapstyle.labels.fonts import drawable_scripts
from mapstyle.pipeline import Words
from mapstyle.sources.reader import SourceName
from mapstyle.sources.store import cache_folder

CHUNK = 8 << 20
"""Bytes of a file that travel at a time; an object store of 80 MB holds several."""
PATIENCE = 3.0
"""Seconds within which a file that was written on one machine is seen through shared storage on another."""
_BESIDE = frozenset({".shx", ".dbf", ".prj", ".cpg", ".tfw", ".tifw", ".jgw", ".jpgw", ".pgw", ".pngw", ".wld"})
"""Endings of files that are read along with one of the same stem: parts of a shapefile, places of pictures."""
_BEHIND = (".ovr", ".msk", ".aux.xml")
"""Endings that are put behind the whole name of a raster."""
_TOKEN = ".shared-"

Read = Callable[[str, int], bytes]
"""Gives up to ``CHUNK`` bytes of a file of the machine that the command was given on, from an offset."""


@dataclass(frozen=True)
class Piece:
    """A file, known by what is in it.

    Attributes:
        name: without folders.
        real: where it lies on the machine that the command was given on.
        size: bytes.
        digest: of its content.
    """

    name: str
    real: str
    size: int
    digest: str


@dataclass(frozen=True)
class Parcel:
    """A source with all files that are read along with it.

    Whether a node has the same file is decided by size and content. A time of modification would say less: copies
    have other ones, and two files may share one. The content is read anyway, by each worker that opens a source.

    Attributes:
        path: absolute, as it was named.
        tail: what followed the file in the source's name: ``#LAYER``, ``=KIND``, both or nothing.
        pieces: the file itself, then those beside it in the order of their names.
    """

    path: Path
    tail: str
    pieces: tuple[Piece, ...]

    @property
    def folder(self) -> str:
        """Name of the folder in which a node keeps its copy."""
        return fingerprint([(piece.name, piece.digest) for piece in self.pieces])

    def lies_at(self, path: Path) -> bool:
        """Tell whether a path is this very file, with the very same files beside it."""
        try:
            beside = files_of(path)
            if [(f.name, f.stat().st_size) for f in beside] != [(p.name, p.size) for p in self.pieces]:
                return False
            return [fingerprint(f) for f in beside] == [p.digest for p in self.pieces]
        except OSError:
            return False


@dataclass(frozen=True)
class Order:
    """What a worker on any node is told.

    Attributes:
        recipe: of the machine that the command was given on.
        parcels: its sources; empty once a node has settled where they lie.
        token: file in the store by which a node proves that it sees the same folder.
        secret: what is written in it.
        fonts: file by script, as labels are drawn where the command was given; empty when that does not matter.
    """

    recipe: Recipe
    parcels: tuple[Parcel, ...]
    token: Path
    secret: str
    fonts: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Settled:
    """A node that is ready.

    Attributes:
        recipe: as it is there.
        notes: what people should know of it.
    """

    recipe: Recipe
    notes: tuple[str, ...] = ()


def files_of(path: Path) -> list[Path]:
    """Give a source's file and those that are read along with it, sorted by name.

    Raises:
        OSError: the file or its folder cannot be read.
    """
    beside = [
        file
        for file in path.parent.iterdir()
        if (file.stem == path.stem and file.suffix.lower() in _BESIDE)
        or file.name in (f"{path.name}{ending}" for ending in _BEHIND)
    ]
    path.stat()
    return [path, *sorted(beside)]


def pack(sources: Iterable[str], here: Path) -> tuple[Parcel, ...]:
    """Say what the sources are, so that other machines can tell whether they have them.

    Args:
        sources: as on the command line.
        here: folder in which their paths begin.

    Raises:
        SourceError: a file cannot be read.
    """
    parcels = []
    for text in sources:
        name = SourceName.parse(str(here / text))
        tail = (f"#{name.layer}" if name.layer is not None else "") + (f"={name.kind}" if name.kind is not None else "")
        try:
            pieces = tuple(
                Piece(file.name, os.path.realpath(file), file.stat().st_size, fingerprint(file))
                for file in files_of(name.path)
            )
        except OSError as error:
            raise SourceError(f"{text} cannot be read: {error.strerror}") from None
        parcels.append(Parcel(name.path, tail, pieces))
    return tuple(parcels)


@contextmanager
def shared(recipe: Recipe) -> Iterator[Order]:
    """Write what a run's workers are told, with a token in the store that is there as long as the run is.

    Raises:
        OutputError: nothing can be written into the store.
        SourceError: a source cannot be read.
    """
    here = recipe.here.absolute()
    store = here / recipe.store
    secret = secrets.token_hex(16)
    token = store / f"{_TOKEN}{secrets.token_hex(8)}"
    parcels = pack(recipe.sources, here)
    try:
        store.mkdir(parents=True, exist_ok=True)
        for left in store.glob(f"{_TOKEN}*"):  # by a run that was killed; no other is at work here
            left.unlink(missing_ok=True)
        token.write_text(secret)
    except OSError as error:
        raise OutputError(f"{store}: cannot be written: {error.strerror}; choose another -o") from None
    try:
        there = replace(recipe, here=here, cache=here / recipe.cache, store=store)
        yield Order(there, parcels, token, secret, {} if recipe.words is Words.NONE else _fonts())
    finally:
        with suppress(OSError):
            token.unlink()


def settle(order: Order, node: str, read: Read | None) -> Settled | None:
    """Make a node ready; gives None when ``read`` is needed for what it does not have.

    Args:
        order: what it is told.
        node: its name, for messages.
        read: gets bytes of files that the node does not see.

    Raises:
        MapstyleError: the node cannot be used; names it, and the cure.
    """
    _check_store(order, node)
    cache = _cache(order.recipe.cache)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"node {node} cannot write its cache {cache} ({error.strerror}): set MAPSTYLE_CACHE for 'ray start' there"
        ) from None
    spec = _spec(order.recipe.spec, node, cache)
    sources = list(order.recipe.sources) if not order.parcels else []
    for parcel in order.parcels:
        path = _place(parcel, cache)
        if path is None:
            if read is None:
                return None
            path = _fetch(parcel, cache, node, read)
        sources.append(f"{path}{parcel.tail}")
    recipe = replace(order.recipe, sources=tuple(sources), here=cache, cache=cache, spec=spec)
    return Settled(recipe, _other_fonts(order.fonts, node))


class Library:
    """Lends the sources' bytes to nodes that do not see the files; it lives where the command was given."""

    def __init__(self, parcels: Iterable[Parcel]) -> None:
        self._files = {piece.digest: piece.real for parcel in parcels for piece in parcel.pieces}

    def read(self, digest: str, offset: int) -> bytes:
        """See :data:`Read`; only files of the run are lent."""
        with open(self._files[digest], "rb") as file:
            file.seek(offset)
            return file.read(CHUNK)


def _check_store(order: Order, node: str) -> None:
    store, until = order.token.parent, time.monotonic() + PATIENCE
    while True:
        try:
            if order.token.read_text() == order.secret:
                break
        except OSError:
            pass
        if time.monotonic() > until:
            raise OutputError(
                f"node {node} does not see {store} of this machine: put -o on storage that all nodes mount at the "
                "same path, or take that node out of the cluster"
            )
        time.sleep(0.1)
    try:
        mine = order.token.with_name(f"{order.token.name}-{secrets.token_hex(8)}")
        mine.touch()
        mine.unlink()
    except OSError as error:
        raise OutputError(
            f"node {node} sees {store} but cannot write there ({error.strerror}): give Ray's user the right to"
        ) from None


def _fonts() -> dict[str, str | None]:
    return {script: file for script, file, _ in drawable_scripts()}


def _other_fonts(fonts: Mapping[str, str | None], node: str) -> tuple[str, ...]:
    """Say which letters this node draws with other fonts; most maps have none of them."""
    mine = _fonts() if fonts else {}
    other = [script for script, file in fonts.items() if mine.get(script) != file]
    if not other:
        return ()
    told = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
    return (
        f"node {node} has other fonts for {told} than this machine: where the map has such labels they will differ "
        "from block to block; install the same fonts on all nodes",
    )


def _cache(asked: Path) -> Path:
    """Choose a node's cache: as it says itself, else the one of the command where there is one, else the user's own.

    What is kept is named by its content, so that any folder is right.
    """
    if not os.environ.get("MAPSTYLE_CACHE") and asked.is_dir() and os.access(asked, os.W_OK):
        return asked
    return cache_folder().absolute()


def _spec(spec: EngineSpec, node: str, cache: Path) -> EngineSpec:
    """Give the engine as it is on this node; refuse one that would paint other pixels."""
    if not isinstance(spec, DiffusionSpec):
        return spec
    for part in spec.parts:
        path = part.found.path
        try:
            size = sum(((path if path.is_dir() else path.parent) / name).stat().st_size for name in part.found.files)
        except OSError:
            size = -1
        if size != part.found.size:
            raise EngineError(
                f"node {node} does not see the weights {path}: put them on storage that all nodes mount at the same "
                "path (HF_HOME for what was pulled), or let the painter paint"
            )
    if spec.config is not None and not spec.config.is_dir():
        raise EngineError(f"node {node} does not see {spec.config} of the style: put the style on shared storage")
    # Ray shows a worker its own card alone.
    device = "cuda:0" if spec.fit.device.startswith("cuda") else spec.fit.device
    machine = look(device)
    if (machine.name, machine.build) != (spec.fit.name, spec.fit.build):
        raise EngineError(
            f"node {node} has {machine.name} ({machine.build}) and this machine {spec.fit.name} ({spec.fit.build}), "
            "which differ in the last bits: use nodes of one kind"
        )
    windows = None if spec.cache is None else cache / "windows"
    return replace(spec, fit=replace(spec.fit, device=device), cache=windows)


def _place(parcel: Parcel, cache: Path) -> Path | None:
    """Give where a source lies on this node: at its own path, or as a copy that came before."""
    copy = cache / "shipped" / parcel.folder / parcel.path.name
    return next((path for path in (parcel.path, copy) if parcel.lies_at(path)), None)


def _fetch(parcel: Parcel, cache: Path, node: str, read: Read) -> Path:
    """Bring a source here; it is there whole or not at all."""
    folder = cache / "shipped" / parcel.folder
    beside = folder.with_name(f".{secrets.token_hex(8)}")
    try:
        beside.mkdir(parents=True)
        for piece in parcel.pieces:
            with (beside / piece.name).open("wb") as file:
                while data := read(piece.digest, file.tell()):
                    file.write(data)
        if not parcel.lies_at(beside / parcel.path.name):
            raise SourceError(
                f"{parcel.path} changed while it was sent to node {node}: run the same command again when it is whole"
            )
        if folder.exists():  # a copy that is damaged, or that somebody else has just brought
            os.rename(folder, beside.with_name(f"{beside.name}.old"))
        with suppress(FileExistsError):
            os.rename(beside, folder)
    except OSError as error:
        raise OutputError(
            f"node {node}: {parcel.path} does not fit into {cache} ({error.strerror}): free some room there, or put "
            "the source on storage that all nodes mount at the same path"
        ) from None
    finally:
        for left in (beside, beside.with_name(f"{beside.name}.old")):
            shutil.rmtree(left, ignore_errors=True)
    return folder / parcel.path.name
