"""A sidecar that gives scripted values over the real socket, in a folder like ``/run/wi`` of a container.

Standard library only: it also runs in the interpreters that tests and benchmarks start. Its wire is written a second time
on purpose.
"""

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PRODUCT = Path(__file__).resolve().parents[2] / "wi_kickoff"


class ScriptedSidecar:
    """Serves ``values``, or the error ``failure`` (lines) while it is set; ``requests`` lists who asked.

    ``delay`` (seconds) slows each answer down.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values: dict[str, str] = {}
        self.failure: list[str] = []
        self.requests: list[str] = []
        self.delay = 0.0
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    @property
    def hook(self) -> Path:
        """The folder for ``PYTHONPATH``."""
        return self.folder / "hook"

    @property
    def launcher(self) -> Path:
        """The launcher's file."""
        return self.folder / "launch.py"

    def install(self) -> None:
        """Put launcher and hook into the folder, as the sidecar does."""
        package = self.hook / "wi_kickoff"
        package.mkdir(parents=True)
        for source in PRODUCT.glob("*.py"):
            shutil.copy(source, self.hook if source.name == "sitecustomize.py" else package)
        for name in ("launch.py", "trouble.py"):
            shutil.copy(PRODUCT / name, self.folder)

    def start(self) -> None:
        """Listen; each connection has a thread."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / "kickoff.sock"))
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more; the socket's file goes, too."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            (self.folder / "kickoff.sock").unlink()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            protocol, verb, source = connection.recv(128).decode().split()
            assert (protocol, verb) == ("wi1", "kickoff")
            answer = self._answer(source)
            time.sleep(self.delay)
            connection.sendall(answer)

    def _answer(self, source: str) -> bytes:
        with self._lock:
            self.requests.append(source)
            identity = f"{len(self.requests):016x}"
            if self.failure:
                return _join(["wi1 error", *(f"m {line}" for line in self.failure)])
            line = (
                f"Workload identity config 't/azure' (azure): {len(self.values)} secret(s) resolved kickoff={identity}"
            )
            head = ["wi1 ok", f"l {line}", *([] if source == "launcher" else [f"k {identity}"])]
            if source == "check":
                return _join([*head, *(f"i {name}\t1\t5\tfedcba\tsecret://demo/x" for name in self.values)])
            return _join([*head, *(f"v {name}={value}" for name, value in self.values.items())])


def _join(fields: list[str]) -> bytes:
    return b"".join(field.encode() + b"\0" for field in [*fields, "."])


@contextlib.contextmanager
def scripted_sidecar() -> Iterator[ScriptedSidecar]:
    """Yield a sidecar that is installed and listens, in a folder with a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="wi-", dir="/tmp"))
    sidecar = ScriptedSidecar(folder)
    sidecar.install()
    sidecar.start()
    try:
        yield sidecar
    finally:
        sidecar.stop()
        shutil.rmtree(folder)
