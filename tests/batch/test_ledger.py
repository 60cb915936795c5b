"""The ledger remembers, is held by one run at a time, and is never half-written."""

import multiprocessing
import os
import signal
import socket
import sqlite3
import time

import pytest

from mapstyle.batch import ledger as ledgers
from mapstyle.batch.ledger import DONE, FAILED, Entry, Ledger
from mapstyle.batch.plan import Block
from mapstyle.errors import JobError


def entries(count: int, state: str = DONE) -> list[Entry]:
    return [
        Entry(Block(9, i, 2 * i), state, f"{i:032x}", "run", 0.5, "" if state == DONE else "why") for i in range(count)
    ]


def test_what_was_written_is_read_by_the_next_run(tmp_path):
    one = Ledger(tmp_path / "job" / "ledger.db")
    one.record(entries(5))
    one.record(entries(2, FAILED))
    one.tell(style="ink", seed="7")
    one.release()
    two = Ledger(tmp_path / "job" / "ledger.db")
    assert two.counts() == {DONE: 3, FAILED: 2}
    assert two.fact("style") == "ink"
    assert two.fact("nothing") == ""
    assert two.entry(Block(9, 1, 2)) == entries(2, FAILED)[1]
    assert two.entry(Block(9, 1, 3)) is None
    assert list(two.entries(FAILED)) == entries(2, FAILED)
    assert len(list(two.entries())) == 5


def test_a_second_run_is_refused_while_the_first_lives(tmp_path):
    path = tmp_path / "ledger.db"
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()

    def other():
        held = Ledger(path)
        held.hold()
        ready.set()
        go.wait(30)
        held.release()

    runner = context.Process(target=other)
    runner.start()
    ready.wait(30)
    mine = Ledger(path)
    with pytest.raises(JobError, match="another run"):
        mine.hold()
    go.set()
    runner.join()
    mine.hold()


def test_a_run_that_was_killed_holds_nothing(tmp_path):
    path = tmp_path / "ledger.db"
    context = multiprocessing.get_context("fork")
    ready = context.Event()

    def other():
        Ledger(path).hold()
        ready.set()
        time.sleep(60)

    runner = context.Process(target=other)
    runner.start()
    ready.wait(30)
    os.kill(runner.pid, signal.SIGKILL)
    runner.join()
    Ledger(path).hold()


def test_another_machine_lives_as_long_as_it_gives_signs_of_it(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger(path).tell(holder=f"elsewhere:1@{time.time():.0f}")
    mine = Ledger(path)
    with pytest.raises(JobError, match="elsewhere"):
        mine.hold()
    Ledger(path).tell(holder=f"elsewhere:1@{time.time() - ledgers.STALE - 1:.0f}")
    mine.hold()
    mine.release()


def test_a_name_that_lives_again_holds_nothing(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger(path).tell(holder=f"{socket.gethostname()}:1@{time.time():.0f}")  # a process of that number always lives
    mine = Ledger(path)
    mine.hold()
    mine.release()
    again = Ledger(path)
    again.hold()
    again.release()


def test_signs_of_life_come_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(ledgers, "BEAT", 0.05)
    held = Ledger(tmp_path / "ledger.db")
    held.hold()
    held.tell(holder=f"{held.fact('holder').partition('@')[0]}@1000")
    end = time.monotonic() + 30
    while held.fact("holder").endswith("@1000"):
        assert time.monotonic() < end
        time.sleep(0.02)
    held.release()


def test_killed_while_writing_leaves_whole_records(tmp_path):
    path = tmp_path / "ledger.db"
    context = multiprocessing.get_context("fork")

    def write():
        held = Ledger(path)
        for i in range(100_000):
            held.record([Entry(Block(9, i, k), DONE, "f", "run") for k in range(10)])

    for _ in range(5):
        writer = context.Process(target=write)
        writer.start()
        time.sleep(0.15)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    per_group: dict[int, int] = {}
    for entry in Ledger(path).entries():
        per_group[entry.block.column] = per_group.get(entry.block.column, 0) + 1
    assert per_group
    assert set(per_group.values()) == {10}


def test_a_hundred_thousand_entries_take_little_time(tmp_path):
    held = Ledger(tmp_path / "ledger.db")
    begun = time.process_time()
    rows = entries(100_000)
    for i in range(0, len(rows), 50):
        held.record(rows[i : i + 50])
    for row in rows[::10]:
        held.entry(row.block)
    assert time.process_time() - begun < 10
    assert held.counts() == {DONE: 100_000}


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises(JobError, match="is damaged"):
        Ledger(tmp_path / "ledger.db")


def test_a_failed_write_is_one_line_and_changes_nothing(tmp_path):
    held = Ledger(tmp_path / "ledger.db")
    held.record(entries(3))
    held._db.execute("PRAGMA max_page_count=4")
    with pytest.raises(JobError, match="free some room"):
        held.record(entries(20_000))
    assert held.counts() == {DONE: 3}
    assert sqlite3.connect(tmp_path / "ledger.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
