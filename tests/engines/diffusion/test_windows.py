"""Finished windows: written once, never half, found again, and nothing lost when the disk says no."""

import errno
import multiprocessing
import os

import numpy as np
import pytest

from mapstyle.engines.diffusion.windows import WindowStore, prune
from mapstyle.errors import EngineError


def window(value: float) -> np.ndarray:
    return np.full((4, 16, 16), value, np.float16)


def test_a_window_is_found_again_by_another_process(tmp_path):
    WindowStore(tmp_path / "w").put("abcd", window(1.5))
    found = WindowStore(tmp_path / "w").get("abcd")
    assert found is not None
    assert np.array_equal(found, window(1.5))
    assert WindowStore(tmp_path / "w").get("abce") is None


def test_the_first_version_is_the_one_that_counts(tmp_path):
    one, two = WindowStore(tmp_path / "w"), WindowStore(tmp_path / "w")
    one.put("abcd", window(1))
    assert np.array_equal(two.put("abcd", window(2)), window(1))
    assert np.array_equal(one.get("abcd"), window(1))


@pytest.mark.parametrize("damage", [b"", b"mapstyle-window\0", b"rubbish" * 100])
def test_a_damaged_file_is_as_good_as_none_and_is_made_again(tmp_path, damage):
    WindowStore(tmp_path / "w").put("abcd", window(1))
    path = tmp_path / "w" / "ab" / "abcd"
    path.write_bytes(damage)
    store = WindowStore(tmp_path / "w")
    assert store.get("abcd") is None
    store.put("abcd", window(3))
    assert np.array_equal(WindowStore(tmp_path / "w").get("abcd"), window(3))


def test_one_flipped_bit_is_noticed(tmp_path):
    WindowStore(tmp_path / "w").put("abcd", window(1))
    path = tmp_path / "w" / "ab" / "abcd"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    assert WindowStore(tmp_path / "w").get("abcd") is None


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    said = []
    store = WindowStore(tmp_path / "w", said.append, room=0)
    store.put("aaaa", window(1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    for i in range(20):
        store.put(f"bb{i}", window(i))
    assert len(said) == 1
    assert "disk is full" in said[0]
    assert all(np.array_equal(store.get(f"bb{i}"), window(i)) for i in range(20))
    assert not [p for p in (tmp_path / "w").rglob(".*")]


def test_memory_is_bounded_while_there_is_a_disk(tmp_path):
    store = WindowStore(tmp_path / "w", room=3 * window(0).nbytes)
    for i in range(20):
        store.put(f"bb{i}", window(i))
    assert len(store._memory) <= 3
    assert all(np.array_equal(store.get(f"bb{i}"), window(i)) for i in range(20))


def test_a_folder_of_another_kind_is_refused_and_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.txt").write_text("a cat")
    with pytest.raises(EngineError, match="no folder of finished windows"):
        WindowStore(tmp_path / "photos")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "README").write_text("mapstyle windows 0\n")
    with pytest.raises(EngineError, match="another version"):
        WindowStore(tmp_path / "old")
    (tmp_path / "file").write_text("x")
    with pytest.raises(EngineError, match="MAPSTYLE_CACHE"):
        WindowStore(tmp_path / "file" / "w")


def test_the_longest_unused_windows_go_first(tmp_path):
    store = WindowStore(tmp_path / "w")
    for i in range(5):
        store.put(f"bb{i}", window(i))
        os.utime(tmp_path / "w" / "bb" / f"bb{i}", (i, i))
    fresh = WindowStore(tmp_path / "w")
    assert fresh.get("bb0") is not None  # used just now
    size = (tmp_path / "w" / "bb" / "bb0").stat().st_size
    prune(tmp_path / "w", 2 * size)
    assert sorted(p.name for p in (tmp_path / "w" / "bb").iterdir()) == ["bb0", "bb4"]


def test_a_folder_that_can_only_be_read_is_read(tmp_path, monkeypatch):
    WindowStore(tmp_path / "w").put("abcd", window(1))

    def denied(*_):
        raise PermissionError

    monkeypatch.setattr(os, "utime", denied)
    assert WindowStore(tmp_path / "w").get("abcd") is not None


def _open(folder, times):
    for i in range(times):
        WindowStore(folder / str(i)).put("abcd", window(i))


def test_many_may_open_a_new_folder_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    people = [context.Process(target=_open, args=(tmp_path, 40)) for _ in range(6)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert [person.exitcode for person in people] == [0] * 6
