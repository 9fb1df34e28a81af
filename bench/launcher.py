"""What the launcher costs a start: whole processes, taken in turn, as ratios to a bare interpreter.

    python bench/launcher.py [RUNS]

Prints median and spread of ``python3 -I -S -c pass`` and of the launcher with a ready answer, and their ratio (goal: 1.2 at
most; ends 1 beyond the goal by more than 30 %).
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
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "operator" / "wi_kickoff"
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
ANSWER = b"wi1 ok\0v APP_A=value\0.\0"
GOAL, TOLERANCE = 1.2, 1.3


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
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        for name in ("launch.py", "trouble.py"):
            shutil.copy(PACKAGE / name, folder)
        listener.bind(f"{folder}/kickoff.sock")
        listener.listen(64)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        commands = {
            "python3 -I -S -c pass": [PYTHON, "-I", "-S", "-c", "pass"],
            "launcher, exec true": [PYTHON, "-I", "-S", f"{folder}/launch.py", "--", "true"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                times[name].append(time_once(command))
    for name, taken in times.items():
        print(
            f"{name:24} median {statistics.median(taken):6.2f} ms  min {min(taken):6.2f}  max {max(taken):6.2f}  n {runs}"
        )
    bare, launched = (statistics.median(taken) for taken in times.values())
    ratio = launched / bare
    print(f"ratio {ratio:.2f} (goal {GOAL}, refused beyond {GOAL * TOLERANCE:.2f})")
    return 1 if ratio > GOAL * TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
