"""Finished blocks are whole or not there."""

import errno
import multiprocessing
import os
import signal
import time

import pytest

from mapstyle.batch.store import BlockStore
from mapstyle.errors import OutputError

TILES = {("png", 5, 7): b"one" * 1000, ("png", 6, 7): b"", ("webp", 5, 7): b"three"}


def test_a_block_is_read_as_it_was_written(tmp_path):
    store = BlockStore(tmp_path / "blocks")
    assert store.get("ab12") is None
    assert not store.has("ab12")
    store.put("ab12", TILES)
    assert store.has("ab12")
    assert BlockStore(tmp_path / "blocks").get("ab12") == TILES
    store.drop("ab12")
    assert store.get("ab12") is None


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[:-1], lambda d: d[:50] + b"x" + d[51:], lambda d: d + d])
def test_a_damaged_block_is_as_good_as_none(tmp_path, damage):
    store = BlockStore(tmp_path)
    store.put("ab12", TILES)
    path = store.path("ab12")
    path.write_bytes(damage(path.read_bytes()))
    assert store.get("ab12") is None


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot be written")])
def test_a_disk_that_says_no_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, number, told):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match=told):
        BlockStore(tmp_path).put("ab12", TILES)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def _write(folder):
    store = BlockStore(folder)
    for i in range(100_000):
        store.put(f"{i % 50:04x}", {("png", i % 50, 0): bytes([i % 50]) * 50_000})


def test_killed_at_any_moment_no_block_is_half_there(tmp_path):
    context = multiprocessing.get_context("fork")
    for i in range(8):
        writer = context.Process(target=_write, args=(tmp_path,))
        writer.start()
        time.sleep(0.03 + 0.013 * i)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    store = BlockStore(tmp_path)
    names = [p.name for p in tmp_path.rglob("*") if p.is_file() and not p.name.startswith(".")]
    assert names
    for name in names:
        i = int(name, 16)
        assert store.get(name) == {("png", i, 0): bytes([i]) * 50_000}
