"""A hook of the site: an entry of the navigation that ends with a slash becomes the pages of that folder, in their order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_HEADING = re.compile(r"^# (?:(\d+)\. )?(.+)$", re.MULTILINE)


def on_config(config: Any) -> Any:
    """Expand folders; mkdocs calls this once before it reads pages."""
    config.nav = _expand(config.nav, Path(config.docs_dir))
    return config


def _expand(entries: list[Any], docs: Path) -> list[Any]:
    expanded: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and entry.endswith("/"):
            expanded += [_name(page, docs) for page in sorted((docs / entry).glob("*.md"))]
        elif isinstance(entry, dict):
            expanded.append(
                {key: _expand(value, docs) if isinstance(value, list) else value for key, value in entry.items()}
            )
        else:
            expanded.append(entry)
    return expanded


def _name(page: Path, docs: Path) -> dict[str, str]:
    found = _HEADING.search(page.read_text())
    title = " ".join(part for part in found.groups() if part) if found else page.stem
    return {title: str(page.relative_to(docs))}
