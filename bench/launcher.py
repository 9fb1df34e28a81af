"""What the launcher costs a start: whole processes, taken in turn, as ratios to a bare interpreter.

    python bench/launcher.py [RUNS]

The launcher asks a sidecar that answers at once with five values, and replaces itself by ``true``.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from figures import ROOT, Figures, find_python, percentile

sys.path.insert(0, str(ROOT / "operator"))
from wi_kickoff import wire

ANSWER = wire.encode_reply(wire.Reply(True, tuple(wire.Field(wire.VALUE, f"APP_{n}=value-{n}") for n in range(5))))
BATCHES = 5


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(ANSWER)


def time_once(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    python, figures = find_python(), Figures()
    print(f"launcher: {runs} starts of each, taken in turn, {python}")
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        for name in wire.FILES:
            shutil.copy(ROOT / "operator" / "wi_kickoff" / name, folder)
        listener.bind(f"{folder}/{wire.SOCKET_NAME}")
        listener.listen(64)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        commands = {
            "true": ["true"],
            "python3 -I -S -c pass": [python, "-I", "-S", "-c", "pass"],
            "launcher, then true": [python, "-I", "-S", f"{folder}/{wire.LAUNCHER_NAME}", "--", "true"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                times[name].append(time_once(command))
    direct, bare, launched = times.values()
    for name, taken in times.items():
        figures.tell(name, taken, "ms")
    size = max(1, runs // BATCHES)
    batches = [slice(start, start + size) for start in range(0, runs, size)]
    ratios = [statistics.median(launched[batch]) / statistics.median(bare[batch]) for batch in batches]
    figures.tell("launcher ÷ bare interpreter", ratios, "", most=1.2)
    figures.tell("added to a start", [a - b for a, b in zip(launched, direct, strict=True)], "ms", most=12)
    figures.tell("  p99 of it", [percentile(launched, 0.99) - percentile(direct, 0.5)], "ms")
    return figures.close()


if __name__ == "__main__":
    sys.exit(main())
