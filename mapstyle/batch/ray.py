"""Workers on a Ray cluster: one actor each, which may die without taking the job along."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from mapstyle.batch.joining import join, load_ray
from mapstyle.batch.ledger import Entry
from mapstyle.batch.sharing import Hand, Queue
from mapstyle.batch.shipping import Library, Order, Settled, shared
from mapstyle.batch.work import ATTEMPTS, Recipe, Task, versions
from mapstyle.engines.diffusion.spec import DiffusionSpec
from mapstyle.errors import JobError, MapstyleError

GRACE = 60.0
"""Seconds for which a run waits for a node when none is left."""
_LOOK = 2.0
"""Seconds between looks at who has joined the cluster and who has left it."""
_SLOW = 20.0
"""Seconds after which it is said that the cluster has no room yet."""
_REST = 2.0
"""Seconds after a worker died before it was ready until the next is started there: its node may be gone."""

Say = Callable[[str], None]


def run_ray(
    recipe: Recipe,
    tasks: Iterable[Task],
    address: str | None = None,
    workers: int | None = None,
    say: Say = lambda line: None,
) -> Iterator[Entry]:
    """Make blocks on a Ray cluster; results come as they are finished. See :class:`RayCluster`."""
    with RayCluster(recipe, address, workers, say) as cluster:
        yield from cluster(tasks)


@dataclass(eq=False)
class _Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's.
        name: for messages.
        slots: how many actors it has room for.
        early: whether it was there when the run began: then the run cannot begin without it.
        recipe: what its workers are told, once the first has settled it.
        stumbles: how many actors in a row died before they were ready.
        rests: time, by the monotonic clock, before which no more actors are started there.
        closed: whether none are ever.
    """

    id: str
    name: str
    slots: int
    early: bool
    recipe: Recipe | None = None
    stumbles: int = 0
    rests: float = 0.0
    closed: bool = False


@dataclass(eq=False, kw_only=True)
class _Actor(Hand):
    """A worker that is an actor.

    Attributes:
        handle: Ray's.
        home: where it lives.
        began: what it answers with when it has begun, or could not.
    """

    handle: Any
    home: _Node
    began: Any


class RayCluster:
    """A Ray cluster that makes blocks, with workers that live until it is closed."""

    def __init__(
        self, recipe: Recipe, address: str | None = None, workers: int | None = None, say: Say = lambda line: None
    ) -> None:
        """Start Ray here, or join a cluster; workers are started when there are blocks for them.

        Args:
            recipe: of all blocks.
            address: None or ``local`` starts Ray on this machine; ``auto`` or HOST:PORT joins a cluster.
            workers: actors at most; as many as the cluster has room for when left out.
            say: takes lines for people.

        Raises:
            MapstyleError: Ray is not installed, there is no such cluster, or it cannot be used.
        """
        self._most, self._say = workers, say
        self._nodes: dict[str, _Node] = {}
        self._hands: list[_Actor] = []
        self._library: Any = None
        self._looked = self._seen = 0.0
        self._began = time.monotonic()
        self._gpu = isinstance(recipe.spec, DiffusionSpec) and recipe.spec.fit.device.startswith("cuda")
        self._needs = {"num_cpus": 0, "num_gpus": 1} if self._gpu else {"num_cpus": 1}
        self._one_each = bool(recipe.spec.block) and not self._gpu
        self._ray = load_ray()
        self._stack = ExitStack()
        try:
            join(self._ray, self._stack, address, workers)
            self._order: Order = self._stack.enter_context(shared(recipe))
            self._versions = versions(recipe.spec)
            self._class = self._ray.remote(_worker_class())
            self._look_around(early=True)
            if not self.workers:
                raise JobError(self._no_room())
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the workers go, and Ray if it was started here."""
        for hand in self._hands:
            self._kill(hand)
        self._hands.clear()
        self._stack.close()

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Entry]:
        """Make blocks; results come as they are finished.

        A worker or a node that dies takes no other block along: what it had in hand is tried again on another node,
        alone, and a block whose worker dies every time is recorded as failed. Closed early, it lets blocks in hand
        be finished.

        Raises:
            MapstyleError: a node cannot be used, or none is left.
        """
        queue = Queue(tasks)
        try:
            while True:
                self._look_around()
                queue.pull(self._hands, max(0, self.workers - len(self._hands)))
                for hand, attempt in queue.give_out(self._hands):
                    assert isinstance(hand, _Actor)
                    hand.given[hand.handle.work.remote(attempt.task)] = attempt
                self._hire(len(queue))
                if queue.empty and not any(hand.given for hand in self._hands):
                    return
                for hand in self._wait():
                    if not hand.ready:
                        self._begin(hand)
                    else:
                        yield from self._collect(hand, queue)
        finally:
            self._finish()

    @property
    def workers(self) -> int:
        """How many workers there can be at a time."""
        slots = sum(node.slots for node in self._nodes.values() if not node.closed)
        return slots if self._most is None else min(slots, self._most)

    def _hire(self, waiting: int) -> None:
        """Start workers while there are blocks that nobody takes; the first of a node alone, as it settles it."""
        now = time.monotonic()
        starting = sum(not hand.ready for hand in self._hands)
        counts = {id: sum(hand.node == id for hand in self._hands) for id in self._nodes}
        while starting < waiting and len(self._hands) < self.workers:
            able = [
                node
                for node in self._nodes.values()
                if not node.closed
                and now >= node.rests
                and counts[node.id] < (node.slots if node.recipe is not None else min(1, node.slots))
            ]
            if not able:
                return
            node = min(able, key=lambda n: counts[n.id] / n.slots)
            counts[node.id] += 1
            starting += 1
            handle = self._class.options(**self._needs, scheduling_strategy=self._on(node.id)).remote()
            self._hands.append(
                _Actor(node=node.id, home=node, handle=handle, began=self._beginning(handle, node, None))
            )

    def _on(self, node: str) -> Any:
        return self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)

    def _beginning(self, handle: Any, node: _Node, library: Any) -> Any:
        order = self._order if node.recipe is None else replace(self._order, recipe=node.recipe, parcels=(), fonts={})
        packed = self._ray.cloudpickle.dumps(order)
        return handle.begin.remote(packed, self._versions, node.name, os.environ.get("OMP_NUM_THREADS"), library)

    def _begin(self, hand: _Actor) -> None:
        """Take note of how a worker's beginning went."""
        node, answer = hand.home, self._answer(hand.began)
        if isinstance(answer, Settled):
            node.recipe, node.stumbles, hand.ready = answer.recipe, 0, True
            for note in answer.notes:
                self._say(f"note: {note}")
        elif answer is None:
            hand.began = self._beginning(hand.handle, node, self._lend())
        else:
            self._dismiss(hand)
            if isinstance(answer, _Gone):
                node.stumbles += 1
                node.rests = time.monotonic() + _REST
                if node.id in self._nodes and node.stumbles >= ATTEMPTS:
                    self._refuse(node, JobError(f"node {node.name}: workers die as they begin ({answer.why})"))
            else:
                known = isinstance(answer, MapstyleError)
                self._refuse(node, answer if known else JobError(f"node {node.name} {answer}"))

    def _refuse(self, node: _Node, error: MapstyleError) -> None:
        """Do without a node that came later; one that was there from the beginning has to be mended first."""
        node.closed = True
        if node.early and node.recipe is None:
            raise error
        self._say(f"note: {error}; it is not used")

    def _lend(self) -> Any:
        """Give the library, on this machine's node."""
        if self._library is None:
            here = self._on(self._ray.get_runtime_context().get_node_id())
            library = self._ray.remote(Library)
            self._library = library.options(
                num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
            ).remote(self._order.parcels)
        return self._library

    def _collect(self, hand: _Actor, queue: Queue) -> Iterator[Entry]:
        """Give what a worker has finished; if it has died, its blocks go back."""
        done, _ = self._ray.wait(list(hand.given), num_returns=len(hand.given), timeout=0)
        answers = {ref: self._answer(ref) for ref in done}
        if any(isinstance(answer, _Gone) for answer in answers.values()):
            self._dismiss(hand)
            yield from queue.bury(hand, answers)
            return
        for ref, answer in answers.items():
            del hand.given[ref]
            if isinstance(answer, MapstyleError):
                raise answer
            yield answer

    def _answer(self, ref: Any) -> Any:
        """Give what a call came to; a worker that is dead or out of reach is a :class:`_Gone`."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError:
            raise  # a fault of ours, with its traceback
        except errors.RayError as error:
            return _Gone(" ".join(str(error).split())[:200])

    def _wait(self) -> Iterator[_Actor]:
        """Wait until something happens, for a while; give the workers that it happened to."""
        owners = {hand.began: hand for hand in self._hands if not hand.ready}
        owners.update({ref: hand for hand in self._hands for ref in hand.given})
        if not owners:
            time.sleep(_LOOK / 4)
            return
        try:
            self._ray.wait(list(owners), num_returns=1, timeout=_LOOK)
            done, _ = self._ray.wait(list(owners), num_returns=len(owners), timeout=0)
        except self._ray.exceptions.RayError as error:
            raise JobError(
                f"the Ray cluster is gone ({' '.join(str(error).split())[:120]}): start it and run the same command "
                "again, it goes on"
            ) from None
        yield from dict.fromkeys(owners[ref] for ref in done)

    def _look_around(self, early: bool = False) -> None:
        """Take note of nodes that have joined and of those that are gone."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        alive = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        for gone in self._nodes.keys() - alive.keys():
            self._say(f"note: node {self._nodes.pop(gone).name} has left the cluster; its blocks go to others")
        for id in alive.keys() - self._nodes.keys():
            told = alive[id]
            name = f"{told['NodeManagerHostname']} ({told['NodeManagerAddress']})"
            slots = int(told["Resources"].get("GPU" if self._gpu else "CPU", 0))
            self._nodes[id] = _Node(id, name, min(slots, 1) if self._one_each else slots, early)
        if self.workers:
            self._seen = now
        elif now - self._seen > GRACE:
            raise JobError("no node that can paint is left in the Ray cluster: run the same command again, it goes on")
        if self._hands and now - self._began > _SLOW and not any(node.recipe for node in self._nodes.values()):
            self._began = float("inf")
            self._say("note: the Ray cluster has no worker ready yet; other jobs may hold its processors")

    def _no_room(self) -> str:
        what, option = ("a GPU", "--num-gpus") if self._gpu else ("a processor to give", "--num-cpus")
        return f"no node of the Ray cluster has {what}: start one with 'ray start --address HOST:PORT {option} N'"

    def _finish(self) -> None:
        """Let blocks in hand be finished, and take back those that wait."""
        given = [ref for hand in self._hands for ref in hand.given]
        for hand in self._hands:
            for ref in list(hand.given)[1:]:
                with suppress(Exception):
                    self._ray.cancel(ref)
            hand.given.clear()
        if given:
            with suppress(self._ray.exceptions.RayError):
                self._ray.wait(given, num_returns=len(given))

    def _dismiss(self, hand: _Actor) -> None:
        self._looked = 0.0  # its node may be gone too
        self._hands.remove(hand)
        self._kill(hand)

    def _kill(self, hand: _Actor) -> None:
        with suppress(Exception):  # it is dead already, or Ray is
            self._ray.kill(hand.handle)


@dataclass(frozen=True)
class _Gone:
    """A call that came to nothing, as whoever was to answer is dead or out of reach."""

    why: str


def _worker_class() -> type:
    """Give the actor's class.

    It is made inside a function so that it travels as it is: a node with another mapstyle, or with none, can say so,
    and nothing that minds its surroundings is imported before they are settled.
    """

    class Painter:
        """One worker, in a process of its own."""

        def begin(
            self, packed: bytes, wanted: dict[str, str], node: str, threads: str | None, library: object
        ) -> object:
            """Make ready; gives how this node has settled, None when files are missing, or what is wrong with it."""
            import os
            import pickle
            import signal
            from importlib import metadata

            for name, version in wanted.items():
                try:
                    found = metadata.version(name)
                except metadata.PackageNotFoundError:
                    found = "none"
                if found != version:
                    return (
                        f"has {name} {found}, and this machine {version}: pip install '{name}=={version}' there, in "
                        "the Python that Ray was started with"
                    )
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
            # Ray sets the number of threads; a worker of this machine would have what its parent has.
            os.environ.pop("OMP_NUM_THREADS", None)
            if threads is not None:
                os.environ["OMP_NUM_THREADS"] = threads
            try:
                from mapstyle.batch.shipping import settle
                from mapstyle.batch.work import Worker
                from mapstyle.errors import MapstyleError
            except ImportError as error:
                return f"cannot import mapstyle ({error}): pip install 'mapstyle[ray]' there, as on this machine"

            def read(digest: str, offset: int) -> object:
                import ray

                return ray.get(library.read.remote(digest, offset))  # type: ignore[attr-defined]

            try:
                there = settle(pickle.loads(packed), node, read if library is not None else None)  # type: ignore[arg-type]
                if there is not None:
                    self._worker = Worker(there.recipe)
                return there
            except MapstyleError as error:
                return error

        def work(self, task: object) -> object:
            """Make a block; gives its entry, or the error that ends the run."""
            from mapstyle.batch.work import tried
            from mapstyle.errors import MapstyleError

            try:
                return tried(self._worker, task)  # type: ignore[arg-type]
            except MapstyleError as error:
                return error

    return Painter
