"""Files that are written from the code: brought up to date, or only compared when the script was called with ``--check``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "operator"))


def bring_up_to_date(files: Mapping[Path, str], command: str) -> int:
    """Write the files that differ from their text; with ``--check`` name them and ``command``, and return 1 if there are any."""
    stale = [file for file, text in files.items() if not file.exists() or file.read_text() != text]
    if "--check" in sys.argv[1:]:
        for file in stale:
            print(f"{file.relative_to(ROOT)} is not what the code says; run: {command}")
        return 1 if stale else 0
    for file in stale:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(files[file])
    return 0


def fill_below(page: Path, marker: str, lines: Iterable[str]) -> str:
    """Return the page with ``lines`` for what stands below ``marker``; ends the script when the page lacks it."""
    head, found, _ = page.read_text().partition(marker)
    if not found:
        sys.exit(f"{page.relative_to(ROOT)} lacks its marker: {marker.strip()}")
    return head + marker + "\n".join(lines) + "\n"
