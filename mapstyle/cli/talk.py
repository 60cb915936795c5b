"""Talk on stderr, results on stdout; progress with rate and time left."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_EVENTS = 0.2
"""Seconds between two progress events, at least."""


class Talk:
    """How a command speaks: to a person, to a program, or not at all."""

    def __init__(self, quiet: bool, as_json: bool) -> None:
        self._quiet = quiet
        self._json = as_json
        self._log: TextIO | None = None

    @property
    def as_json(self) -> bool:
        """Whether a program is reading."""
        return self._json

    def record(self, path: Path) -> None:
        """Write everything that is said from now on into a file, too: JSON, a line each, with the time."""
        from mapstyle.errors import OutputError

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}; choose another -o") from None

    def note_in_log(self, event: str, **facts: Any) -> None:
        """Write an event into the file alone."""
        if self._log is not None:
            line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts}, default=str)
            try:
                self._log.write(line + "\n")
            except OSError:  # the disk is full: those who write tiles say so
                self._log = None

    def say(self, text: str, **facts: Any) -> None:
        """Tell a person a line, or a program an event with its facts."""
        self.note_in_log("note", text=text, **facts)
        if self._json and not self._quiet:
            print(json.dumps({"event": "note", "text": text, **facts}, default=str), flush=True)
        elif not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def result(self, text: str, **facts: Any) -> None:
        """Give a result: a path on stdout, or an event."""
        self.note_in_log("result", text=text, **facts)
        if self._json:
            print(json.dumps({"event": "result", "path": text, **facts}, default=str), flush=True)
        else:
            print(text, flush=True)

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator["Advance"]:
        """Show how far a job is, with rate and time left."""
        advance = Advance(self, what, total, unit, self._json, self._quiet)
        try:
            yield advance
        finally:
            advance.close()


class Advance:
    """A bar on a terminal, lines every few seconds elsewhere, events for a program."""

    def __init__(self, talk: Talk, what: str, total: int, unit: str, as_json: bool, quiet: bool) -> None:
        self._talk, self._what, self._total, self._unit = talk, what, total, unit
        self._json, self._quiet, self._done, self._first, self._failed = as_json, quiet, 0, 0, 0
        self._begun = self._told = time.monotonic()
        self._bar: Any = None
        if not quiet and not as_json and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(what, total=total, rate="")

    def skip(self, count: int) -> None:
        """Say that ``count`` need not be done."""
        self._total -= count

    def step(self, count: int = 1, failed: bool = False) -> None:
        """Say that ``count`` more are done, or failed."""
        now = time.monotonic()
        self._failed += failed
        if not self._done:
            self._begun, self._first = now, count  # what came before, such as loading, says nothing of the rest
        self._done += count
        rate = (self._done - self._first) / max(now - self._begun, 1e-6)
        left = max(0, self._total - self._done) / rate if rate else None
        trouble = f", {self._failed} failed" if self._failed else ""
        if self._bar is not None:
            self._bar.update(self._task, total=self._total, completed=self._done,
                             rate=(f"{rate:.1f} {self._unit}/s" if rate else "") + trouble)  # fmt: skip
        elif self._json and not self._quiet and (now - self._told > _EVENTS or self._done in (count, self._total)):
            self._told = now
            seconds = None if left is None else round(left, 1)
            event = {"event": "progress", "what": self._what, "done": self._done, "total": self._total,
                     "failed": self._failed, "per_second": round(rate, 3), "seconds_left": seconds}  # fmt: skip
            print(json.dumps(event), flush=True)
        elif not self._json and left is not None and now - self._told > 5 and self._done < self._total:
            self._told = now
            how = f"{rate:.1f}/s, {left:.0f} s left{trouble}"
            self._talk.say(f"{self._what}: {self._done} of {self._total} {self._unit}, {how}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
