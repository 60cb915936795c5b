"""Share blocks out among workers that may die: which block goes to whom, and what becomes of those that were lost."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapstyle.batch.ledger import Entry
from mapstyle.batch.work import ATTEMPTS, Task

AHEAD = 2
"""Blocks that a worker has at a time: one in hand, one that waits."""
STRETCH = 64
"""Blocks in a row that a worker is given at a time. Neighbours share what is drawn around them: handed out one by one
in turn, blocks cost half as many cells again (docs/log.md)."""
PATIENCE = 30.0
"""Seconds for which a block that was lost waits for a worker on another node."""


@dataclass(eq=False)
class Try:
    """A block on its way.

    Attributes:
        task: what is to be done.
        alone: whether its worker has died: then it is the only one that the next is given.
        deaths: how often a worker died that had nothing else.
        nodes: where that was.
        since: when it was lost last, by the monotonic clock.
    """

    task: Task
    alone: bool = False
    deaths: int = 0
    nodes: set[str] = field(default_factory=set)
    since: float = 0.0


@dataclass(eq=False)
class Hand:
    """A worker, and what it was given.

    Attributes:
        node: name of the machine it lives on.
        ready: whether it takes blocks.
        given: its blocks by what it will answer with, in the order in which it makes them.
    """

    node: str
    ready: bool = False
    given: dict[Any, Try] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether it is at a block that must be alone with it."""
        return any(attempt.alone for attempt in self.given.values())


class Queue:
    """The blocks of one pass that are not made yet: to be pulled, to be given out, and lost with their workers.

    A worker that dies is one block's fault at most: that which it had in hand. This one is tried again alone, on
    another node if there is one, so that a block that kills is found and no other is charged with it.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._drained = False
        self._fresh: deque[Try] = deque()
        self._stretches: dict[Hand, deque[Try]] = {}
        self._lost: list[Try] = []

    def __len__(self) -> int:
        """Count the blocks that were pulled and that nobody is at."""
        return len(self._fresh) + len(self._lost) + sum(map(len, self._stretches.values()))

    @property
    def empty(self) -> bool:
        """Whether there will be no more."""
        return self._drained and not self

    def pull(self, hands: Iterable[Hand], more: int) -> None:
        """Take as many blocks from the plan as can be given out now.

        Args:
            hands: all workers.
            more: how many workers could be started.
        """
        room = STRETCH * (more + sum(1 for _ in hands))
        while not self._drained and len(self) < room:
            task = next(self._tasks, None)
            self._drained = task is None
            if task is not None:
                self._fresh.append(Try(task))

    def give_out(self, hands: Sequence[Hand]) -> Iterator[tuple[Hand, Try]]:
        """Give blocks to workers, first to those that have none; each must be given before the next is asked for."""
        kept: set[Hand] = set()
        for attempt in list(self._lost):
            others = [hand for hand in hands if hand.node not in attempt.nodes]
            if time.monotonic() - attempt.since > PATIENCE and not any(hand.ready for hand in others):
                others = []
            able = [hand for hand in others or hands if hand.ready and not hand.alone and hand not in kept]
            if not able:
                continue
            hand = min(able, key=lambda h: len(h.given))
            kept.add(hand)  # it gets nothing else, so that it will have time
            if not hand.given:
                self._lost.remove(attempt)
                yield hand, attempt
        # Towards the end nothing waits behind a block while another worker is idle.
        for depth in range(1 if self._drained else AHEAD):
            for hand in hands:
                free = hand.ready and len(hand.given) <= depth and hand not in kept and not hand.alone
                if free and (fresh := self._next(hand, hands)) is not None:
                    yield hand, fresh

    def _next(self, hand: Hand, hands: Sequence[Hand]) -> Try | None:
        """Give the next block of a worker's own stretch, or begin one, or take half of the longest there is."""
        own = self._stretches.setdefault(hand, deque())
        if not own:
            idle = sum(not self._stretches.get(other) for other in hands)
            share = min(STRETCH, -(-len(self._fresh) // max(1, idle)))
            own.extend(self._fresh.popleft() for _ in range(share))
        if not own and self._drained:
            longest = max(self._stretches.values(), key=len)
            own.extendleft([longest.pop() for _ in range(-(-len(longest) // 2))])
        return own.popleft() if own else None

    def bury(self, hand: Hand, answers: Mapping[Any, Any]) -> Iterator[Entry]:
        """Take back what a dead worker had; give what it had finished, and a block that has killed too often.

        Args:
            hand: the worker; afterwards it has nothing.
            answers: what came of its blocks, as far as that is known.
        """
        lost: list[Try] = []
        finished: list[Entry] = []
        for key, attempt in hand.given.items():
            answer = answers.get(key)
            if isinstance(answer, Entry):
                finished.append(answer)
            else:
                lost.append(attempt)
        hand.given.clear()
        if lost:
            culprit = lost.pop(0)
            culprit.deaths += culprit.alone
            culprit.alone, culprit.since = True, time.monotonic()
            culprit.nodes.add(hand.node)
            if culprit.deaths < ATTEMPTS:
                self._lost.append(culprit)
            else:
                reason = f"its worker died {ATTEMPTS} times: too little memory, or a fault in a library"
                finished.append(culprit.task.failed(reason))
        self._fresh.extendleft(reversed([*lost, *self._stretches.pop(hand, ())]))
        yield from finished
