"""Ray: the same tiles from many nodes, whoever dies; sources and store are where every node sees them, or it is told."""

import contextlib
import itertools
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mapstyle.batch import ray as clusters
from mapstyle.batch import sharing, shipping
from mapstyle.batch.ledger import DONE, FAILED, Entry
from mapstyle.batch.local import Here
from mapstyle.batch.plan import Block, TileGrid, plan
from mapstyle.batch.ray import RayCluster
from mapstyle.batch.sharing import Hand, Queue
from mapstyle.batch.shipping import Library, Order, pack, settle, shared
from mapstyle.batch.store import BlockStore
from mapstyle.batch.work import ATTEMPTS, Recipe, Task
from mapstyle.engines.base import Engine, View, Watch
from mapstyle.engines.diffusion.fit import Fit, Machine
from mapstyle.engines.diffusion.profiles import resolve
from mapstyle.engines.diffusion.registry import Found
from mapstyle.engines.diffusion.settings import Diffusion
from mapstyle.engines.diffusion.spec import DiffusionSpec, Part
from mapstyle.engines.painter import PainterSpec
from mapstyle.errors import EngineError, JobError, OutputError, SourceError
from mapstyle.exports.encoding import TileFormat
from mapstyle.frame import Frame
from mapstyle.job import Data
from mapstyle.pipeline import Words
from mapstyle.style import load_style, packaged

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'mapstyle[ray]'")
TOWN = packaged("sample_data") / "doggerhaven.gpkg"
GRID = TileGrid(side=512)
PLACE = (3.876, 54.588, 3.909, 54.607)


@dataclass(frozen=True)
class Watched(PainterSpec):
    """The painter, which leaves a note of each process and block, takes its time, and dies or fails as it is told."""

    notes: Path = Path()
    pause: float = 0.0
    kills: Block | None = None
    fails: Block | None = None

    def load(self, watch: Watch | None = None) -> Engine:
        return _Watched(self, super().load(watch))


class _Watched:
    def __init__(self, spec: Watched, painter: Engine) -> None:
        self.spec, self.painter = spec, painter

    def paint(self, frame: Frame, view: View, seed: int) -> np.ndarray:
        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
        (self.spec.notes / f"{os.getpid()}@{node}").touch()
        time.sleep(self.spec.pause)
        for block, harm in ((self.spec.kills, "kill"), (self.spec.fails, "fail")):
            if (
                block is not None
                and block.frame(GRID).grid == frame.grid
                and frame.intersection(block.frame(GRID).pad(-64))
            ):
                if harm == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ValueError("a poisoned block")
        return self.painter.paint(frame, view, seed)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def cluster(root):
    """Three nodes on this machine; two have caches of their own."""
    from ray.cluster_utils import Cluster

    # Workers on the cluster's nodes do not know this file.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    for name in ("second", "third"):
        made.add_node(**small, env_vars={"MAPSTYLE_CACHE": str(root / name)})
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def plain(root):
    """The town as the painter paints it."""
    look = load_style("watercolour")
    data = Data.open([str(TOWN)], root / "cache", lambda line: None)
    return Recipe((str(TOWN),), data.digest, Path.cwd(), root / "cache", look, PainterSpec(look.painter), look.seed, "",
                  Words.BURN, plan(PLACE, range(13, 16), GRID), (TileFormat(kind="png"),), root / "right")  # fmt: skip


@pytest.fixture
def recipe(plain, tmp_path):
    """The same, watched, and with a store of its own."""
    (tmp_path / "notes").mkdir()
    spec = Watched(plain.spec.recipe, notes=tmp_path / "notes")
    return replace(plain, spec=spec, store=tmp_path / "blocks")


@pytest.fixture(scope="module")
def tasks(plain):
    return [Task(block, plain.run) for block in plain.plan.blocks()]


@pytest.fixture(scope="module")
def right(plain, tasks):
    """What one worker in this process makes of each block."""
    return {e.block: BlockStore(plain.store).get(e.fingerprint) for e in Here(plain)(iter(tasks))}


def made(recipe: Recipe, entries: list[Entry]) -> dict[Block, object]:
    """Give the tiles of finished blocks; each block must have come once and be whole."""
    assert len({e.block for e in entries}) == len(entries)
    assert [e.error for e in entries if e.state == FAILED] == []
    out = {e.block: BlockStore(recipe.store).get(e.fingerprint) for e in entries}
    files = [f for f in recipe.store.glob("??/*") if f.is_file()]
    assert {f.name for f in files} == {e.fingerprint for e in entries}
    assert None not in out.values()
    return out


def seen(recipe: Recipe) -> set[tuple[int, str]]:
    """Give process and node of every worker that has painted so far."""
    notes = [note.name.partition("@") for note in recipe.spec.notes.iterdir()]
    return {(int(pid), node) for pid, _, node in notes}


def wait_until(true) -> None:
    until = time.monotonic() + 40
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_all_nodes_give_the_tiles_of_one_worker_even_if_they_do_not_see_the_source(
    cluster, recipe, tasks, right, root, tmp_path, monkeypatch
):
    (tmp_path / "mine").mkdir()
    shutil.copy(TOWN, tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    # A path that is another place in every process: there is no such file where the workers are.
    recipe = replace(recipe, sources=(f"/proc/self/cwd/{TOWN.name}",), spec=replace(recipe.spec, pause=0.1))
    said: list[str] = []
    polite = signal.getsignal(signal.SIGTERM)
    with RayCluster(recipe, cluster.address, say=said.append) as made_by:
        assert signal.getsignal(signal.SIGTERM) is polite  # Ray would have put its own there
        entries = list(made_by(task for task in tasks if task.block.level == 15))
        workers = seen(recipe)
        entries += made_by(task for task in tasks if task.block.level < 15)
        assert seen(recipe) == workers  # they live on between levels
        again = list(made_by(iter(tasks)))
    assert made(recipe, entries) == right
    assert {e.fingerprint for e in again} == {e.fingerprint for e in entries}
    assert not any(e.painted for e in again)
    assert len({node for _, node in workers}) == len(workers) == 3
    assert not said
    assert not list(recipe.store.glob(".shared-*"))
    for cache in ("cache", "second", "third"):
        copies = [f for f in (root / cache / "shipped").rglob("*") if f.is_file()]
        assert [f.name for f in copies] == [TOWN.name], cache
        assert copies[0].read_bytes() == TOWN.read_bytes()


def test_tasks_are_pulled_as_they_are_needed_and_blocks_in_hand_are_finished(cluster, recipe, tasks, monkeypatch):
    monkeypatch.setattr(sharing, "STRETCH", 1)
    pulled: list[Task] = []

    def more():
        for task in tasks:
            pulled.append(task)
            yield task

    recipe = replace(recipe, spec=replace(recipe.spec, pause=0.3))
    with RayCluster(recipe, cluster.address, workers=2) as made_by:
        results = made_by(more())
        first = next(results)
        held = len(pulled)
        assert held <= 2 * 2 + 2
        results.close()  # as Ctrl-C does
        assert len(pulled) == held
        files = [f.name for f in recipe.store.glob("??/*")]
        assert first.fingerprint in files
        assert 2 <= len(files) <= 4
        assert all(BlockStore(recipe.store).get(name) for name in files)
        assert len(seen(recipe)) <= 2


def test_what_dies_costs_no_tile_and_a_node_that_joins_is_used(cluster, recipe, tasks, right, monkeypatch):
    monkeypatch.setattr(sharing, "STRETCH", 1)  # tasks are made up as they are asked for
    recipe = replace(recipe, spec=replace(recipe.spec, pause=0.2))
    wide = plan((3.5, 54.3, 4.2, 54.9), range(13, 16), GRID)
    around = (block for block in wide.of_level(15) if block not in right)
    gone = threading.Event()

    def more():
        yield from tasks[:4]
        while not gone.is_set():  # there is something to do until all has happened
            yield Task(next(around), recipe.run)
        yield from tasks[4:]

    with RayCluster(recipe, cluster.address) as made_by:
        results = made_by(more())
        entries = [next(results)]
        killed = min(seen(recipe))
        os.kill(killed[0], signal.SIGKILL)
        newcomer = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
        mine = newcomer.node_id
        wait_until(lambda: entries.append(next(results)) or any(node == mine for _, node in seen(recipe)))
        cluster.remove_node(newcomer, allow_graceful=False)
        gone.set()
        entries += results
    tiles = made(recipe, entries)
    assert {block: tiles[block] for block in right} == right
    assert len([1 for _, node in seen(recipe) if node == killed[1]]) == 2  # one that was killed, one in its place


def test_poisoned_blocks_fail_alone_even_if_they_kill(cluster, recipe, tasks, right):
    kills, fails = (task.block for task in tasks[3:6:2])
    recipe = replace(recipe, spec=replace(recipe.spec, kills=kills, fails=fails))
    with RayCluster(recipe, cluster.address) as made_by:
        entries = {e.block: e for e in made_by(iter(tasks))}
    assert len(entries) == len(tasks)
    failed = {block: e for block, e in entries.items() if e.state == FAILED}
    assert set(failed) == {kills, fails}
    assert "its worker died 3 times" in failed[kills].error
    assert "a poisoned block" in failed[fails].error
    assert made(recipe, [e for e in entries.values() if e.state == DONE]) == {
        block: tiles for block, tiles in right.items() if block not in failed
    }
    assert len({node for _, node in seen(recipe)}) == 3


def test_a_node_without_the_store_is_refused_in_one_line(cluster, recipe, tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = replace(recipe, store=Path("/proc/self/cwd/blocks"))
    with RayCluster(recipe, cluster.address) as made_by, pytest.raises(OutputError) as refused:
        list(made_by(iter(tasks)))
    line = str(refused.value)
    assert "\n" not in line
    assert os.uname().nodename in line
    assert "storage that all nodes mount" in line
    assert not list((tmp_path / "blocks").iterdir())


def test_a_node_with_another_version_is_refused_in_one_line(cluster, recipe, tasks, monkeypatch):
    monkeypatch.setattr(clusters, "versions", lambda recipe: {"mapstyle": "9.9.9"})
    with (
        RayCluster(recipe, cluster.address) as made_by,
        pytest.raises(JobError, match=r"pip install 'mapstyle==9\.9\.9'"),
    ):
        list(made_by(iter(tasks)))


ALONE = """
    import pickle, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from mapstyle.batch.joining import load_ray
    ray = load_ray()  # before anybody else does, as in the program
    import test_ray as t

    if __name__ == "__main__":
        recipe = pickle.loads(Path({recipe!r}).read_bytes())
        ray.cloudpickle.register_pickle_by_value(t)
        try:
            for entry in t.clusters.run_ray(recipe, (t.Task(b, recipe.run) for b in recipe.plan.blocks()), "local", 2):
                print(entry.fingerprint, flush=True)
        except KeyboardInterrupt:
            print("stopped")
"""


def test_ray_on_this_machine_says_nothing_and_stops_when_told(recipe, tmp_path, root, right):
    script = tmp_path / "alone.py"
    recipe = replace(recipe, spec=replace(recipe.spec, pause=0.3))
    (tmp_path / "recipe").write_bytes(pickle.dumps(recipe))
    script.write_text(textwrap.dedent(ALONE.format(here=str(Path(__file__).parent), recipe=str(tmp_path / "recipe"))))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    run = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    assert run.stdout is not None
    done = [run.stdout.readline().strip()]
    os.kill(min(pid for pid, _ in seen(recipe)), signal.SIGKILL)  # of which Ray would say much
    done.append(run.stdout.readline().strip())
    os.killpg(run.pid, signal.SIGINT)  # a terminal tells the whole group
    out, err = run.communicate(timeout=60)
    assert err == ""
    assert out.split()[-1] == "stopped"
    assert run.returncode == 0
    files = {f.name for f in recipe.store.glob("??/*")}
    assert set(done) <= files
    assert len(files) < len(right)
    assert all(BlockStore(recipe.store).get(name) in right.values() for name in files)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ray://head:10001", "without ray://"),
        ("head", "write auto, or HOST:PORT"),
        ("127.0.0.1:1", "nobody answers there"),
        ("127.0.0.1:70000", "write auto, or HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is_takes_one_line(recipe, address, told):
    with pytest.raises(JobError, match=told) as wrong:
        RayCluster(recipe, address)
    assert "\n" not in str(wrong.value)
    assert not recipe.store.exists()


def test_a_port_where_something_else_listens_takes_one_line(recipe):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(JobError, match="that is no Ray cluster"):
            RayCluster(recipe, f"127.0.0.1:{other.server_port}")
        other.shutdown()


def test_without_ray_the_cure_is_told(recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(JobError, match=r"pip install 'mapstyle\[ray\]'"):
        RayCluster(recipe)


def order(recipe: Recipe, sources: list[str], here: Path) -> Order:
    """Give what a node is told, with a store that it sees."""
    recipe.store.mkdir(exist_ok=True)
    token = recipe.store / "token"
    token.write_text("secret")
    return Order(replace(recipe, cache=here / "nowhere"), pack(sources, here), token, "secret")


@pytest.fixture
def shapes(tmp_path):
    """A shapefile's parts and what is not among them."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a.shp", "a.shx", "a.dbf", "a.PRJ", "a.cpg", "a.txt", "ab.dbf", "a.shp.zip", "x#1=b.gpkg"):
        (folder / name).write_bytes(name.encode() * 50)
    return folder


def test_a_source_travels_with_what_is_read_along_with_it(recipe, shapes, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))
    told = order(recipe, ["a.shp#a=building", "x#1=b.gpkg", "x#1=b.gpkg#roads"], shapes)
    library, reads = Library(told.parcels), []

    def read(digest: str, offset: int) -> bytes:
        reads.append(digest)
        return library.read(digest, offset)

    assert settle(told, "n", None).recipe.sources == tuple(
        f"{shapes}/{s}" for s in ("a.shp#a=building", "x#1=b.gpkg", "x#1=b.gpkg#roads")
    )
    elsewhere = shapes.rename(tmp_path / "theirs")
    assert settle(told, "n", None) is None
    with pytest.raises(OutputError, match="does not fit"):
        settle(told, "n", read)  # nor is it where the command was given, by now
    elsewhere.rename(shapes)
    real = [replace(p, path=Path("/not/here") / p.path.name) for p in told.parcels]
    told = replace(told, parcels=tuple(real))
    settled = settle(told, "n", read)
    there = settled.recipe
    first = Path(there.sources[0].partition("#")[0])
    assert sorted(f.name for f in first.parent.iterdir()) == ["a.PRJ", "a.cpg", "a.dbf", "a.shp", "a.shx"]
    assert there.sources[0] == f"{first}#a=building"
    assert there.sources[2] == f"{there.sources[1]}#roads"
    assert all(f.read_bytes() == (shapes / f.name).read_bytes() for f in first.parent.iterdir())
    count = len(reads)
    assert settle(told, "n", None) == settled
    assert len(reads) == count
    first.write_bytes(b"damaged")
    assert settle(told, "n", None) is None
    assert settle(told, "n", read) == settled
    assert first.read_bytes() == (shapes / "a.shp").read_bytes()
    assert sorted(f.name for f in (tmp_path / "cache" / "shipped").iterdir()) == sorted({p.folder for p in real})


def test_a_file_of_the_same_name_and_size_is_not_the_same_file(shapes):
    (parcel,) = pack(["a.shp"], shapes)
    assert parcel.lies_at(shapes / "a.shp")
    before = (shapes / "a.dbf").stat()
    (shapes / "a.dbf").write_bytes(b"x" * before.st_size)
    os.utime(shapes / "a.dbf", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not parcel.lies_at(shapes / "a.shp")


def test_a_source_that_changes_while_it_is_sent_is_refused(recipe, shapes, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))
    told = order(recipe, ["a.shp"], shapes)
    told = replace(told, parcels=(replace(told.parcels[0], path=Path("/not/here/a.shp")),))
    library = Library(told.parcels)
    (shapes / "a.dbf").write_bytes(b"other")
    with pytest.raises(SourceError, match="changed while it was sent"):
        settle(told, "n", library.read)
    assert not list((tmp_path / "cache" / "shipped").iterdir())


def test_a_node_that_would_paint_otherwise_is_told_of(recipe, tmp_path, monkeypatch):
    told = order(recipe, [], tmp_path)
    assert settle(told, "n", None).notes == ()
    (note,) = settle(replace(told, fonts={"Latin": "Other.ttf"}), "north", None).notes
    assert "node north has other fonts for Latin" in note
    told.token.write_text("of another run")
    with pytest.raises(OutputError, match="node north does not see"):
        settle(told, "north", None)


def test_a_model_runs_on_the_same_kind_of_card_with_the_same_weights(recipe, tmp_path, monkeypatch):
    file = tmp_path / "base.safetensors"
    file.write_bytes(b"weights")
    settings = Diffusion(prompt="a map")
    found = Found(file, "base", "base", "", "0" * 64, "", "", "", None, 7, (file.name,))
    spec = DiffusionSpec(settings, resolve(settings), recipe.spec, (Part("base", settings.base, found),),
                         Fit("cuda:1", "Card", build="torch 3"), tmp_path / "windows")  # fmt: skip
    told = order(replace(recipe, spec=spec), [], tmp_path)
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(shipping, "look", lambda device: Machine(device, "Card", 0, build="torch 3"))
    there = settle(told, "n", None).recipe.spec
    assert there.fit.device == "cuda:0"
    assert there.cache == tmp_path / "own" / "windows"
    assert there.identity() == spec.identity()
    monkeypatch.setattr(shipping, "look", lambda device: Machine(device, "Other", 0, build="torch 3"))
    with pytest.raises(EngineError, match=r"node n has Other \(torch 3\) and this machine Card"):
        settle(told, "n", None)
    file.write_bytes(b"cut")
    with pytest.raises(EngineError, match="node n does not see the weights"):
        settle(told, "n", None)


def test_only_files_of_the_run_are_lent(shapes):
    with pytest.raises(KeyError):
        Library(pack(["a.shp"], shapes)).read("/etc/passwd", 0)


def test_a_store_that_cannot_be_written_and_tokens_left_behind(recipe, tmp_path):
    recipe.store.mkdir()
    (recipe.store / ".shared-old").write_text("left by a run that was killed")
    with shared(recipe) as told:
        assert [f for f in recipe.store.iterdir()] == [told.token]
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="choose another -o"),
        shared(replace(recipe, store=tmp_path / "file" / "blocks")),
    ):
        pass


def tried(queue: Queue, hands: list[Hand]) -> dict[str, list[int]]:
    """Give blocks out; tells which columns each worker has then."""
    for hand, attempt in queue.give_out(hands):
        hand.given[len(hand.given)] = attempt
    return {hand.node: [attempt.task.block.column for attempt in hand.given.values()] for hand in hands}


def test_only_the_block_in_hand_is_to_blame_and_it_goes_to_another_node_alone(monkeypatch):
    monkeypatch.setattr(sharing, "STRETCH", 1)
    queue = Queue(Task(Block(9, i, 0), "run") for i in range(9))
    hands = [Hand("a", True), Hand("b", True), Hand("c")]
    queue.pull(hands, 1)
    assert len(queue) == 4
    assert tried(queue, hands) == {"a": [0, 2], "b": [1, 3], "c": []}
    assert not list(queue.bury(hands[0], {0: Task(Block(9, 0, 0), "run").failed("as it should")}))[1:]
    assert tried(queue, hands[1:]) == {"b": [1, 3], "c": []}  # 2 was at its turn, and waits for b to have time
    hands[1].given.clear()
    assert tried(queue, hands[1:]) == {"b": [2], "c": []}  # alone
    for _ in range(ATTEMPTS - 1):
        assert not list(queue.bury(hands[1], {}))
        assert 2 not in tried(queue, hands[1:])["b"]  # rather on c, once that is ready
        hands[1].given.clear()
        monkeypatch.setattr(sharing, "PATIENCE", -1.0)
        assert tried(queue, hands[1:])["b"] == [2]
        monkeypatch.undo()
    (failed,) = queue.bury(hands[1], {})
    assert (failed.block.column, failed.state) == (2, FAILED)


def test_towards_the_end_nothing_waits_behind_a_block():
    queue = Queue(Task(Block(9, i, 0), "run") for i in range(3))
    hands = [Hand("a", True), Hand("b", True)]
    queue.pull(hands, 0)
    assert tried(queue, hands) == {"a": [0], "b": [2]}
    hands[1].given.clear()
    assert tried(queue, hands) == {"a": [0], "b": [1]}  # from the other's stretch
    assert queue.empty


def test_every_worker_has_a_stretch_of_neighbours():
    queue = Queue(Task(Block(9, i, 0), "run") for i in range(1000))
    hands = [Hand("a", True), Hand("b", True)]
    made: dict[str, list[int]] = {"a": [], "b": []}
    for turn in range(5000):
        queue.pull(hands, 0)
        for hand, attempt in queue.give_out(hands):
            hand.given[attempt.task.block.column] = attempt
        for hand in hands[: 1 + turn % 2]:  # one is twice as fast
            for key in list(hand.given)[:1]:
                made[hand.node].append(key)
                del hand.given[key]
        if queue.empty and not any(hand.given for hand in hands):
            break
    assert sorted(made["a"] + made["b"]) == list(range(1000))
    jumps = sum(second - first != 1 for blocks in made.values() for first, second in itertools.pairwise(blocks))
    assert jumps < 40
    assert len(made["a"]) > 1.5 * len(made["b"])


@pytest.mark.long
def test_fifty_deaths_cost_no_tile(cluster, recipe, right, tasks, tmp_path):
    """Workers and whole nodes are killed at random moments; blocks that met death too often are tried anew."""
    chance = random.Random(4)
    deaths = {"worker": 0, "node": 0}
    for turn in range(100):
        if sum(deaths.values()) >= 50:
            break
        here = replace(recipe, store=tmp_path / f"blocks{turn}", spec=replace(recipe.spec, pause=0.3))
        stop, nodes = threading.Event(), [cluster.add_node(num_cpus=1, object_store_memory=80 << 20)]

        def harm(here=here, stop=stop, nodes=nodes):
            while not stop.wait(chance.uniform(1, 4)):
                if chance.random() < 0.2 and nodes:
                    cluster.remove_node(nodes.pop(), allow_graceful=False)
                    deaths["node"] += 1
                else:
                    for pid, _ in chance.sample(sorted(seen(here)), len(seen(here))):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                            deaths["worker"] += 1
                            break

        killer = threading.Thread(target=harm)
        killer.start()
        with RayCluster(here, cluster.address) as made_by:
            entries = {e.block: e for e in made_by(iter(tasks))}
            stop.set()
            killer.join()
            unlucky = [task for task in tasks if entries[task.block].state == FAILED]
            print(turn, deaths, len(unlucky))
            entries.update({e.block: e for e in made_by(iter(unlucky))})
        assert made(here, list(entries.values())) == right
        for node in nodes:
            cluster.remove_node(node)
        for note in recipe.spec.notes.iterdir():
            note.unlink()
    assert sum(deaths.values()) >= 50
    assert deaths["node"] >= 3
