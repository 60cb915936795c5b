"""From finished blocks to outputs: needs the plan, the ledger and the store, and nobody who paints."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mapstyle.batch.ledger import DONE, Ledger
from mapstyle.batch.plan import Block, Plan
from mapstyle.batch.store import BlockStore
from mapstyle.batch.work import ART
from mapstyle.errors import JobError
from mapstyle.exports.tilejson import Tileset

Write = Callable[[str, int, int, int, bytes], None]
"""Takes an encoded tile: suffix, level, column, row, bytes."""
_FACT = "job"


@dataclass(frozen=True)
class Kept:
    """A job as its ledger keeps it: all that is needed to write its tiles anew.

    Attributes:
        plan: which tiles.
        tileset: what outputs say of themselves.
    """

    plan: Plan
    tileset: Tileset


_KEPT: TypeAdapter[Kept] = TypeAdapter(Kept)


def keep_job(ledger: Ledger, plan: Plan, tileset: Tileset) -> None:
    """Write the job into its ledger."""
    ledger.tell(**{_FACT: _KEPT.dump_json(Kept(plan, tileset)).decode()})


def kept_job(ledger: Ledger, path: Path) -> Kept:
    """Read the job from its ledger.

    Raises:
        JobError: there is none, or it cannot be read.
    """
    try:
        return _KEPT.validate_json(ledger.fact(_FACT))
    except (ValidationError, AssertionError):
        raise JobError(
            f"{path}: does not say what it holds; run the 'mapstyle tiles' command that made it once more"
        ) from None


def done(plan: Plan, ledger: Ledger) -> Iterator[tuple[Block, str]]:
    """Give the finished blocks of a job, and their fingerprints."""
    for block in plan.blocks():
        entry = ledger.entry(block)
        if entry is not None and entry.state == DONE:
            yield block, entry.fingerprint


def damaged(plan: Plan, ledger: Ledger, store: BlockStore) -> Iterator[tuple[Block, str]]:
    """Find finished blocks whose files are damaged or gone, and their fingerprints."""
    seen: dict[str, bool] = {}  # plain ground is one file for many blocks
    for block, name in done(plan, ledger):
        if name not in seen:
            seen[name] = store.get(name) is not None
        if not seen[name]:
            yield block, name


class BrokenBlockError(Exception):
    """A finished block's file is damaged or gone."""


def gather(plan: Plan, ledger: Ledger, store: BlockStore, write: Write) -> None:
    """Hand all finished tiles that the job asks for to the outputs.

    Raises:
        BrokenBlockError: one cannot be read; what has been written must not be believed to be whole.
    """
    n = plan.grid.across
    for block, name in done(plan, ledger):
        wanted = set(plan.wanted(block))
        tiles = store.get(name) if wanted else {}
        if tiles is None:
            raise BrokenBlockError
        for (kind, column, row), data in tiles.items():
            place = (block.column * n + column, block.row * n + row)
            if kind != ART and place in wanted:
                write(kind, block.level, *place, data)
