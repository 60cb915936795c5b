"""Local rounds: which labels stay, decided by what is near and by nothing else.

In each of four rounds every undecided label proposes its best place that is still free. A proposal wins
if it is more important than every proposal it meets; what its winner covers is free no more. A label
still undecided after the last round is left out. What becomes of a label thus hangs on a chain of at
most :data:`HOPS` neighbours.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mapstyle.labels.candidates import Candidate

ROUNDS = 4
HOPS = 2 * ROUNDS - 1
"""A label's fate hangs on rivals up to so many steps away: in each round but the first, on what its rivals
propose, which hangs on what their rivals won in the round before."""


@dataclass(eq=False)
class Contender:
    """A label that would like to be drawn.

    Attributes:
        order: importance, then a hash that belongs to the world; less is better. Copies of one label round the
            world have the same, and where they meet neither wins.
        candidates: its places, best first.
        cell: address of the cell that its anchor lies in.
    """

    order: tuple[float, int]
    candidates: list[Candidate]
    cell: tuple[int, int]


@dataclass
class Rivals:
    """Whom a contender meets: for each rival, which of our places meets which of theirs."""

    meets: dict[Contender, set[tuple[int, int]]] = field(default_factory=dict)


RivalsOf = Callable[[Contender], Rivals]


def settle(wanted: Iterable[Contender], rivals_of: RivalsOf, hops: int = HOPS) -> dict[Contender, int]:
    """Decide for each wanted contender which of its places it takes; one that is left out is not in the answer."""
    first = list(wanted)
    known = _circle_of(first, rivals_of, hops)
    free = {c: list(range(len(c.candidates))) for c in known}
    meets = {c: {r: m for r, m in rivals_of(c).meets.items() if r in known} for c in known}
    taken: dict[Contender, int] = {}
    undecided = set(known)
    for _ in range(ROUNDS):
        undecided = {c for c in undecided if free[c]}
        winners = [
            c
            for c in undecided
            if all(
                rival not in undecided or c.order < rival.order or (free[c][0], free[rival][0]) not in pairs
                for rival, pairs in meets[c].items()
            )
        ]
        if not winners:
            break
        for c in winners:
            taken[c] = free[c][0]
            undecided.discard(c)
        for c in winners:
            for rival, pairs in meets[c].items():
                if rival in undecided:
                    free[rival] = [f for f in free[rival] if (taken[c], f) not in pairs]
    return {c: taken[c] for c in first if c in taken}


def _circle_of(first: Iterable[Contender], rivals_of: RivalsOf, hops: int) -> dict[Contender, int]:
    """Gather all contenders up to so many steps away, with their distance."""
    known = dict.fromkeys(first, 0)
    queue = deque(known)
    while queue:
        here = queue.popleft()
        if known[here] < hops:
            for rival in rivals_of(here).meets:
                if rival not in known:
                    known[rival] = known[here] + 1
                    queue.append(rival)
    return known
