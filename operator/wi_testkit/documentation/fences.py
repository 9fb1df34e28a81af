"""Fenced blocks of Markdown pages and the marks before them (see CONTRIBUTING.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = frozenset({"console", "bash", "sh", "shell", "powershell"})
"""Languages whose fences are commands: each needs a mark."""
_MARK = re.compile(r"^\s*<!--\s*(run|cloud|values|foreign|part)\b\s*(.*?)\s*-->\s*$")
_FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,})\s*(?P<language>[\w+-]*)\s*(?P<rest>.*)$")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block: ``line`` is that of its opening, ``mark`` and ``argument`` stand in the comment before it."""

    page: Path
    line: int
    language: str
    mark: str
    argument: str
    text: str

    @property
    def place(self) -> str:
        """Return page and line, as editors open them."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_command(self) -> bool:
        """Tell whether a reader would type it."""
        return self.language in COMMANDS


def find_pages() -> list[Path]:
    """Return README, that of the chart, and every page of the documentation."""
    chart = ROOT / "charts" / "workload-identity-operator" / "README.md"
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", chart, *sorted((ROOT / "docs").rglob("*.md"))]


def read_fences(page: Path) -> Iterator[Fence]:
    """Yield the fences of ``page`` in order; raises ValueError for one that is never closed."""
    lines = page.read_text().splitlines()
    index = 0
    while index < len(lines):
        opening = _FENCE.match(lines[index])
        if not opening:
            index += 1
            continue
        end = _find_end(lines, index, opening["ticks"], page)
        marked = _MARK.match(lines[index - 1]) if index else None
        mark, argument = marked.groups() if marked else ("", "")
        indent = len(opening["indent"])
        text = "\n".join(line[indent:] for line in lines[index + 1 : end]) + "\n"
        yield Fence(page, index + 1, opening["language"], mark, argument, text)
        index = end + 1


def _find_end(lines: list[str], start: int, ticks: str, page: Path) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].strip() == ticks:
            return number
    raise ValueError(f"{page.name}:{start + 1}: the fence is never closed")


def read_all() -> list[Fence]:
    """Return every fence of every page."""
    return [fence for page in find_pages() for fence in read_fences(page)]
