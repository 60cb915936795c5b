"""The chain is a function of the ground: what is asked for, in which order, by whom and how often changes nothing."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from chain_toy import toy_chain
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.engines.diffusion.batches import OutOfMemoryError
from mapstyle.engines.diffusion.lattice import LATENT
from mapstyle.errors import EngineError
from mapstyle.frame import Frame, Grid

SHEET = Grid.metric("EPSG:32632", 1.0, 50.0)
WHOLE = Frame(SHEET, -500, 300, 330, 250)


@pytest.fixture(scope="module")
def picture():
    return toy_chain(SHEET).paint(WHOLE)


@settings(max_examples=8)
@given(st.integers(0, 320), st.integers(0, 240), st.integers(1, 200), st.integers(1, 200))
def test_another_extent_gives_the_same_pixels(picture, x, y, width, height):
    part = WHOLE.intersection(Frame(SHEET, WHOLE.column + x, WHOLE.row + y, width, height))
    wide = Frame(SHEET, part.column - 37, part.row - 91, part.width + 50, part.height + 120)
    seen = toy_chain(SHEET).paint(wide)
    assert np.array_equal(seen[part.slices(wide)], picture[part.slices(WHOLE)])


def test_the_picture_is_no_constant(picture):
    assert picture.std() > 3


def test_pieces_in_any_order_give_the_same_pixels(picture):
    pieces = list(WHOLE.pieces(128, 128))
    np.random.default_rng(3).shuffle(pieces)
    chain = toy_chain(SHEET)
    out = np.zeros_like(picture)
    for piece in pieces:
        out[piece.slices(WHOLE)] = chain.paint(piece)
    assert np.array_equal(out, picture)


@pytest.mark.parametrize("workers", [1, 5])
def test_threads_change_nothing(picture, workers):
    assert np.array_equal(toy_chain(SHEET, workers=workers).paint(WHOLE), picture)


def test_a_folder_of_windows_changes_nothing_and_saves_the_work(picture, tmp_path):
    first = toy_chain(SHEET, tmp_path / "w")
    assert np.array_equal(first.paint(WHOLE), picture)
    again = toy_chain(SHEET, tmp_path / "w")
    assert np.array_equal(again.paint(WHOLE), picture)
    assert again.counts.made == 0
    assert again.counts.found == first.counts.made > 0
    # Half of what was kept is gone: it is made again, and nothing else is.
    files = sorted((tmp_path / "w").glob("??/*"))
    for file in files[::2]:
        file.unlink()
    third = toy_chain(SHEET, tmp_path / "w")
    assert np.array_equal(third.paint(WHOLE), picture)
    assert third.counts.made == len(files[::2])


def test_windows_that_vanish_while_the_chain_works_are_made_again(picture, tmp_path):
    chain = toy_chain(SHEET, tmp_path / "w")
    left = Frame(SHEET, WHOLE.column, WHOLE.row, 200, WHOLE.height)
    chain.paint(left)
    for file in (tmp_path / "w").glob("??/*"):
        file.unlink()
    chain.store._memory.clear()
    chain._decoded.clear()
    assert np.array_equal(chain.paint(WHOLE), picture)


def test_a_change_of_one_pixel_of_a_hint_reaches_as_far_as_is_said_and_no_further(picture, tmp_path):
    toy_chain(SHEET, tmp_path / "w").paint(WHOLE)
    chain = toy_chain(SHEET, tmp_path / "w")
    chain.supply.changed = (WHOLE.column - 150, WHOLE.row - 100)
    changed = chain.paint(WHOLE)
    assert 0 < chain.counts.made < chain.counts.found + chain.counts.made
    rows, columns = np.nonzero((changed != picture).any(2))
    reach = chain.lattices.reach
    assert len(rows) == 0 or (columns.max() <= reach - 150 and rows.max() <= reach - 100)
    near = toy_chain(SHEET, tmp_path / "w")
    near.supply.changed = (WHOLE.column + 100, WHOLE.row + 100)
    assert (near.paint(WHOLE) != picture).any()


def test_past_the_antimeridian_everything_is_the_same_ground():
    grid = Grid.web_mercator(2)
    turn = grid.turn
    east = Frame(grid, turn - 100, 400, 200, 150)
    west = Frame(grid, -100, 400, 200, 150)
    one, other = toy_chain(grid).paint(east), toy_chain(grid).paint(west)
    assert np.array_equal(one, other)
    chain = toy_chain(grid)
    chain.paint(Frame(grid, 0, 400, turn, 100))
    count = chain.lattices.phases[0].columns.count
    assert len({key[1] for key in chain._keys}) == count


def test_empty_slots_and_companions_do_not_matter(picture):
    # A frame with an odd number of windows leaves slots empty: their latents are NaN in this model.
    chain = toy_chain(SHEET)
    part = Frame(SHEET, WHOLE.column + 50, WHOLE.row + 40, 60, 60)
    assert np.array_equal(chain.paint(part), picture[part.slices(WHOLE)])
    assert chain.counts.evaluations > chain.counts.made


def _evaluations_over_lone_windows(side: int) -> tuple[float, float]:
    chain = toy_chain(SHEET, phases=3)
    frame = Frame(SHEET, 0, 0, 16 * LATENT * side, 16 * LATENT * side)
    for piece in frame.pieces(384 * 7, 384 * 7):  # whole batches and decoded cells, as the engine's own fields are
        chain.paint(piece)
    alone = side * side * chain.lattices.plan.executed
    return chain.counts.evaluations / alone, chain.lattices.overhead(frame)


def test_the_evaluations_said_beforehand_are_those_that_are_counted():
    counted, said = _evaluations_over_lone_windows(12)
    assert said <= counted <= said * 1.15  # empty slots at the rim are counted, and are few


def test_evaluations_counted_over_a_large_job_are_at_most_twice_those_of_lone_windows():
    counted, said = _evaluations_over_lone_windows(100)
    assert said <= counted <= 2.0


def test_a_window_that_is_not_a_number_is_tried_once_more_and_then_reported(picture):
    chain = toy_chain(SHEET)
    rect = chain.lattices.phases[1].rect(*next(iter(chain.lattices.cone(WHOLE).phases[1])))
    chain.model.broken = {(1, rect.x, rect.y)}
    assert np.array_equal(chain.paint(WHOLE), picture)
    assert chain.counts.retried == 1
    chain = toy_chain(SHEET)
    chain.model.broken = {(1, rect.x, rect.y)}
    chain.model.always_broken = True
    with pytest.raises(EngineError, match="NaN"):
        chain.paint(WHOLE)


def test_windows_found_under_another_identity_are_not_passed_off_as_exact(tmp_path):
    small, large = Frame(SHEET, 0, 0, 60, 60), Frame(SHEET, 0, 0, 200, 200)
    toy_chain(SHEET, tmp_path / "w").paint(small)
    chain = toy_chain(SHEET, tmp_path / "w")
    chain.paint(small)
    assert chain.counts.made == 0
    assert chain.exact
    chain.model.room = 3
    chain.paint(large)
    assert not chain.exact


def test_a_picture_whose_code_is_not_a_number_is_encoded_once_more(picture):
    chain = toy_chain(SHEET)
    true = chain.model.start
    asked = []

    def start(rects, pictures, careful=False):
        asked.append(careful)
        out = true(rects, pictures)
        return out if careful else out * np.nan

    chain.model.start = start
    assert np.array_equal(chain.paint(WHOLE), picture)
    assert asked.count(True) == asked.count(False) == chain.counts.retried > 0


def test_running_out_of_memory_while_decoding_steps_down_too(picture):
    chain = toy_chain(SHEET)
    true, calls = chain.model.decode, []

    def decode(latents, careful=False):
        calls.append(1)
        if len(calls) == 1:
            raise OutOfMemoryError
        return true(latents)

    chain.model.decode = decode
    assert np.array_equal(chain.paint(WHOLE), picture)
    assert any("out of memory" in line for line in chain.said)


def test_a_full_disk_is_still_read(picture, tmp_path, monkeypatch):
    part = Frame(SHEET, WHOLE.column, WHOLE.row, 150, WHOLE.height)
    kept = toy_chain(SHEET, tmp_path / "w")
    kept.paint(part)
    lone = toy_chain(SHEET)
    lone.paint(WHOLE)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    chain = toy_chain(SHEET, tmp_path / "w")
    assert np.array_equal(chain.paint(WHOLE), picture)
    assert chain.counts.found == kept.counts.made
    assert chain.counts.made == lone.counts.made - kept.counts.made


def test_running_out_of_memory_steps_down_and_loses_nothing():
    frame = Frame(SHEET, 0, 0, 200, 200)
    chain = toy_chain(SHEET, room=3)
    chain.paint(frame)
    assert chain.exact  # nothing was finished before
    chain = toy_chain(SHEET)
    chain.paint(Frame(SHEET, 0, 0, 60, 60))
    chain.model.room = 3
    seen = chain.paint(frame)
    assert not chain.exact
    assert any("out of memory" in line for line in chain.said)
    assert np.array_equal(seen, toy_chain(SHEET, batch=(1, 1)).paint(frame))  # the toy does not care about batches
    with pytest.raises(EngineError, match="out of memory"):
        toy_chain(SHEET, room=0).paint(frame)


def test_finished_windows_stay_when_memory_runs_out_later(tmp_path):
    chain = toy_chain(SHEET)
    chain.paint(Frame(SHEET, 0, 0, 100, 100))
    made = dict(chain._keys)
    chain.model.room = 1
    chain.paint(Frame(SHEET, 0, 0, 300, 100))
    assert {k: chain._keys[k] for k in made} == made


def test_settings_change_every_key(tmp_path):
    toy_chain(SHEET, tmp_path / "w").paint(WHOLE)
    other = toy_chain(SHEET, tmp_path / "w", batch=(1, 1))
    other.paint(WHOLE)
    assert other.counts.found == 0


def _work(folder, column, done):
    chain = toy_chain(SHEET, folder)
    frame = Frame(SHEET, WHOLE.column + column, WHOLE.row, 210, WHOLE.height)
    done.put((column, chain.paint(frame)))


def test_several_processes_share_one_folder(picture, tmp_path):
    context = multiprocessing.get_context("fork")
    done = context.Queue()
    people = [context.Process(target=_work, args=(tmp_path / "w", c, done)) for c in (0, 60, 120)]
    for person in people:
        person.start()
    seen = [done.get(timeout=60) for _ in people]
    for person in people:
        person.join()
    for column, part in seen:
        assert np.array_equal(part, picture[:, column : column + 210])


def test_killed_at_any_moment_and_resumed_gives_the_same_pixels(picture, tmp_path):
    context = multiprocessing.get_context("fork")
    found = 0
    for attempt in range(6):
        done = context.Queue()
        worker = context.Process(target=_work, args=(tmp_path / "w", 0, done))
        worker.start()
        time.sleep(0.02 + 0.03 * attempt)
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    chain = toy_chain(SHEET, tmp_path / "w")
    assert np.array_equal(chain.paint(WHOLE), picture)
    found = chain.counts.found
    assert found > 0
