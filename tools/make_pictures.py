"""Draw docs/pictures/ from the running demo (``make demo`` leaves it up): what real commands print on a terminal, as SVG.

The pictures hold no address and no font from elsewhere.
"""

from __future__ import annotations

import html
import os
import pty
import re
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.demo import find_running

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
COLUMNS = 118
SECONDS = 180
FONTS = "'Fira Code', 'DejaVu Sans Mono', Menlo, Consolas, monospace"
TEXT = re.compile(
    r'<text(?P<head>[^>]*?) x="(?P<x>[\d.]+)"(?P<middle>[^>]*?) textLength="(?P<length>[\d.]+)"(?P<tail>[^>]*)>'
    r"(?P<content>[^<]*)</text>"
)
ROTATE = f"""#!/bin/sh
exec {shlex.quote(sys.executable)} -c "
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage import demo, samples
from wi_testkit.stage.install import Stage
samples.rotate(Stage(demo.find_running('embedded', 'demo', Progress()), Progress()))
" 2>/dev/null
"""
PLUGIN = """#!/bin/sh
exec {python} -c 'import sys; from wi_operator.cli.main import main; sys.exit(main())' "$@"
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One command and the exit code that it must have."""

    name: str
    command: str
    code: int


PICTURES = (
    Picture("status", "kubectl wi status -A", 1),
    Picture("test", "kubectl wi test -A", 1),
    Picture("doctor", "kubectl wi doctor -n team-a", 1),
    Picture("verify-rotation", "kubectl wi verify-rotation job/kickoff -n team-a --rotate-with ./rotate.sh", 0),
)


def main() -> int:
    """Return 1 when the demo is not up, or a command ends differently than it must."""
    try:
        cluster = find_running(os.environ.get("CLUSTER") or "embedded", "demo", Progress())
    except ControlPlaneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_program(folder / "kubectl-wi", PLUGIN.format(python=shlex.quote(sys.executable)))
        write_program(folder / "rotate.sh", ROTATE)
        own = dict(os.environ) | dict(cluster.environment)
        environment = own | {"PATH": f"{folder}:{own['PATH']}", "PYTHONPATH": str(ROOT / "operator")}
        for picture in PICTURES:
            code, text = show(picture.command, folder, environment)
            if code != picture.code:
                print(f"{picture.command}: ended with {code}, not {picture.code}:\n{text}", file=sys.stderr)
                return 1
            (FOLDER / f"{picture.name}.svg").write_text(draw(picture, text))
            print(f"docs/pictures/{picture.name}.svg")
    return 0


def write_program(path: Path, text: str) -> None:
    """Write an executable file."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def show(command: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command on a terminal of our own; returns its exit code and what it printed, colours included."""
    ours, theirs = pty.openpty()
    terminal = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "60"}
    running = subprocess.Popen(
        shlex.split(command),
        cwd=folder,
        env={**environment, **terminal},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,  # no terminal: no spinner
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux's end of a terminal
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    _, complaint = running.communicate(timeout=SECONDS)
    return running.returncode, b"".join(chunks).decode().replace("\r\n", "\n") or complaint.decode()


def draw(picture: Picture, text: str) -> str:
    """Return the SVG of a terminal with the command and what it printed."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), (picture.command, "bold")))
    console.print(Text.from_ansi(text))
    shape = re.sub(r"<!-- .*? -->\s*|@font-face \{\{.*?\n    \}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    shape = shape.replace("Fira Code, monospace", FONTS)
    drawn = console.export_svg(title=picture.command, theme=MONOKAI, code_format=shape, unique_id=f"wi-{picture.name}")
    lines = (TEXT.sub(trim, drawn)).splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"


def trim(found: re.Match[str]) -> str:
    """Place a text where its first letter stands, without spaces around it: not every viewer keeps those."""
    content = html.unescape(found["content"])
    letters = content.strip("\u00a0")
    if not letters:
        return ""
    width = float(found["length"]) / len(content)
    x = float(found["x"]) + width * (len(content) - len(content.lstrip("\u00a0")))
    shown = html.escape(letters, quote=False).replace("\u00a0", "&#160;")
    return f'<text{found["head"]} x="{x:g}"{found["middle"]} textLength="{width * len(letters):g}"{found["tail"]}>{shown}</text>'


if __name__ == "__main__":
    sys.exit(main())
