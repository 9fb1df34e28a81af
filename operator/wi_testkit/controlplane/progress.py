"""Progress lines for people: what is being done, and how long it has taken."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

HEARTBEAT_SECONDS = 20.0


@dataclass
class Progress:
    """Prints one line per stage to ``stream``, each with the seconds since this object was made."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print ``text`` behind the elapsed seconds."""
        print(f"[{time.monotonic() - self.started:6.1f}s] {text}", file=self.stream, flush=True)

    @contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Announce a stage, repeat a sign of life every 20 s, and tell at its end how long it took."""
        began = time.monotonic()
        done = threading.Event()
        self.say(f"{text} …")
        beat = threading.Thread(target=self._beat, args=(text, began, done), daemon=True)
        beat.start()
        try:
            yield
        finally:
            done.set()
            beat.join()
        self.say(f"{text}: done in {time.monotonic() - began:.0f} s")

    def _beat(self, text: str, began: float, done: threading.Event) -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            self.say(f"{text}: still at it after {time.monotonic() - began:.0f} s")


class Silence(Progress):
    """Progress that prints nothing: what the tests use."""

    def say(self, text: str) -> None:
        """Drop ``text``."""
