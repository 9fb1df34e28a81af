"""What a sidecar costs: memory, start, and the time and CPU that it adds to a kickoff of five secrets.

    python bench/sidecar.py [STARTS] [KICKOFFS]

The real process, laid out and compiled as in the image, with its logging; issuer, identity provider and vault are a
process that answers after fixed delays over TLS. Side by side with it: a bare interpreter with ``ssl`` (memory), and a
client that sends the same requests over kept connections and does nothing else (time). Goals: see docs/performance.md.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h11
from figures import ROOT, Figures, find_python, percentile, read_cpu, read_memory

sys.path.insert(0, str(ROOT / "operator"))
from wi_testkit.pki import CertificateAuthority

SECRETS = 5
REQUEST = b"wi1 kickoff launcher\n"
BURST, ROUNDS, BATCHES = 16, 10, 5
BARE = "import ssl, time; ssl.create_default_context(); print('up', flush=True); time.sleep(600)"


class Place:
    """A folder with the product as the image has it, certificates, and the stand-in's ports."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder, self.python = folder, python
        site = folder / "site-packages"
        for package in (ROOT / "operator" / "wi_operator", ROOT / "operator" / "wi_kickoff", Path(h11.__file__).parent):
            shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        compiling = [python, "-IS", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(site)]
        subprocess.run(compiling, check=True)
        self.entry = folder / "wi-operator"
        text = (ROOT / "images" / "wi-operator").read_text()
        assert "/opt/wi/site-packages" in text
        self.entry.write_text(text.replace("/opt/wi/site-packages", str(site)))
        authority = CertificateAuthority()
        authority.issue(["localhost"]).write(folder)
        authority.write(folder / "ca.crt")
        (folder / "token").write_text("fake-pod-token")
        self.ports: list[int] = []

    @contextlib.contextmanager
    def cloud(self) -> Iterator[None]:
        command = [sys.executable, str(ROOT / "bench" / "cloud.py"), str(self.folder)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            self.ports = [int(port) for port in process.stdout.readline().split()]
            try:
                yield
            finally:
                process.stdin.close()


class Sidecar:
    """One process of the product."""

    def __init__(self, place: Place) -> None:
        run = place.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        entries = [{"name": f"V{number}", "reference": f"secret://demo/s{number}"} for number in range(SECRETS)]
        environ = {
            "WI_DECLARATION": json.dumps({"version": 1, "containers": {"app": {"entries": entries}}}),
            "WI_GRANTS_URL": f"https://localhost:{place.ports[0]}",
            "WI_CA_BUNDLE": (place.folder / "ca.crt").read_text(),
            "WI_TOKEN_FILE": str(place.folder / "token"),
            "WI_RUN_DIR": str(run),
        }
        self.socket = str(run / "app" / "kickoff.sock")
        began = time.perf_counter()
        with (place.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([place.python, "-IS", str(place.entry), "sidecar"], env=environ, stderr=log)
        while not (run / "app" / "started").exists():
            assert self.process.poll() is None, (place.folder / "log").read_text()
            time.sleep(0.001)
        self.start_ms = (time.perf_counter() - began) * 1000

    def kick(self) -> float:
        """Make a kickoff; returns milliseconds."""
        began = time.perf_counter()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.socket)
            connection.sendall(REQUEST)
            reply = b""
            while chunk := connection.recv(65536):
                reply += chunk
        took = (time.perf_counter() - began) * 1000
        assert (reply[:7], reply.count(b"\0v V")) == (b"wi1 ok\0", SECRETS), reply[:200]
        return took

    def memory(self, line: str) -> float:
        return read_memory(self.process.pid, line)

    def cpu_ms(self) -> float:
        return read_cpu(self.process.pid) * 1000

    def burst(self) -> None:
        for _ in range(ROUNDS):
            threads = [threading.Thread(target=self.kick) for _ in range(BURST)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0


class Requests:
    """The same requests over kept connections, written at once where they are parallel."""

    def __init__(self, place: Place) -> None:
        context = ssl.create_default_context(cafile=str(place.folder / "ca.crt"))
        grants, entra, vault = place.ports
        self._grants, self._entra = connect(context, grants), connect(context, entra)
        self._vault = [connect(context, vault) for _ in range(SECRETS)]

    def warm(self) -> float:
        began = time.perf_counter()
        ask(self._grants, b'POST /v1/grants HTTP/1.1\r\nIf-None-Match: "1"\r\n\r\n')
        self._read_secrets()
        return (time.perf_counter() - began) * 1000

    def cold(self) -> float:
        began = time.perf_counter()
        ask(self._grants, b"POST /v1/grants HTTP/1.1\r\n\r\n")
        ask(self._entra, b"POST /t/oauth2/v2.0/token HTTP/1.1\r\n\r\n")
        self._read_secrets()
        return (time.perf_counter() - began) * 1000

    def _read_secrets(self) -> None:
        for number, connection in enumerate(self._vault):
            connection.sendall(f"GET /secrets/s{number}?api-version=7.6 HTTP/1.1\r\n\r\n".encode())
        for connection in self._vault:
            connection.recv(65536)


def connect(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")


def ask(connection: ssl.SSLSocket, request: bytes) -> None:
    connection.sendall(request)
    assert connection.recv(65536).startswith(b"HTTP/1.1 ")


def measure_bare(python: str) -> float:
    with subprocess.Popen([python, "-IS", "-c", BARE], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        memory = read_memory(process.pid, "VmRSS")
        process.terminate()
    return memory


def main() -> int:
    given = [int(each) for each in sys.argv[1:]]
    starts, kickoffs = (*given, *(7, 200)[len(given) :])
    figures = Figures()
    python = find_python()
    print(f"sidecar: {SECRETS} secrets, {starts} starts, {python}")
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as folder:
        place = Place(Path(folder), python)
        with place.cloud():
            run(place, figures, starts, kickoffs)
    return figures.close()


def run(place: Place, figures: Figures, starts: int, kickoffs: int) -> None:
    listening, cold, first, private, burst, bare = [], [], [], [], [], []
    requests = Requests(place)
    baseline = [requests.cold() for _ in range(starts)]
    for _ in range(starts):
        sidecar = Sidecar(place)
        listening.append(sidecar.start_ms)
        cold.append(sidecar.kick())
        first.append(sidecar.memory("VmRSS"))
        private.append(sidecar.memory("RssAnon"))
        bare.append(measure_bare(place.python))
        if len(first) < starts:
            sidecar.burst()
            burst.append(sidecar.memory("VmRSS"))
            sidecar.stop()
    ideal, warm, cpu, alone = [], [], [], []
    for _ in range(BATCHES):
        before, own = sidecar.cpu_ms(), time.process_time()
        ideal += [requests.warm() for _ in range(kickoffs // BATCHES)]
        alone.append((time.process_time() - own) * 1000 / (kickoffs // BATCHES))
        warm += [sidecar.kick() for _ in range(kickoffs // BATCHES)]
        cpu.append((sidecar.cpu_ms() - before) / (kickoffs // BATCHES))
    sidecar.stop()
    figures.tell("started to listening", listening, "ms", most=150)
    figures.tell("resident after the first kickoff", first, "MiB", most=26)
    figures.tell("  of it private (anonymous)", private, "MiB", most=14)
    figures.tell(f"resident after bursts of {BURST}", burst, "MiB", most=32)
    figures.tell("a bare interpreter with ssl and the roots", bare, "MiB")
    figures.tell("sidecar ÷ bare interpreter", [ours / theirs for ours, theirs in zip(first, bare, strict=True)])
    figures.tell("the requests alone, cold (kept connections)", baseline, "ms")
    figures.tell("first kickoff, added to the requests alone", [each - baseline[0] for each in cold], "ms", most=30)
    figures.tell("the requests alone, warm", ideal, "ms")
    figures.tell("warm kickoff ÷ the requests alone", [ours / theirs for ours, theirs in zip(warm, ideal, strict=True)])
    added = [ours - theirs for ours, theirs in zip(warm, ideal, strict=True)]
    figures.tell("warm kickoff, added to the requests alone", added, "ms", most=5)
    figures.tell("  p99 of it", [percentile(added, 0.99)], "ms")
    figures.tell("CPU of a warm kickoff", cpu, "ms", most=2)
    figures.tell("CPU of the requests alone", alone, "ms")


if __name__ == "__main__":
    sys.exit(main())
