"""Write the rows of the diagnosis table into docs/troubleshooting.md, below its marker; ``--check`` only compares."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator
from itertools import groupby

from generated import ROOT, bring_up_to_date, fill_below

from wi_operator.federation.diagnosis.base import Row
from wi_operator.federation.diagnosis.handbook import PLAIN, RETRIES, SYMPTOMS
from wi_operator.federation.diagnosis.table import ROWS

PAGE = ROOT / "docs" / "troubleshooting.md"
MARKER = "<!-- Everything below is generated from the diagnosis table: make docs -->\n"


def main() -> int:
    """Return 1 when the page differs from the table."""
    return bring_up_to_date({PAGE: fill_below(PAGE, MARKER, render())}, "make docs")


def render() -> Iterator[str]:
    """Yield the lines: a heading per reason, and one per code below it."""
    ordered = sorted(ROWS, key=lambda row: (row.reason.lower(), row.code))
    for reason, rows in groupby(ordered, key=lambda row: row.reason):
        yield f"\n## {reason}\n"
        for row in rows:
            yield from _render_row(row)
    yield "\n## Reasons that are no errors\n"
    for reason, meaning in PLAIN.items():
        yield f"### {reason}\n\n{meaning}\n"


def _render_row(row: Row) -> Iterator[str]:
    if row.code != row.reason:
        yield f"### {row.code}\n"
    shown = row.diagnose()
    symptoms = "; ".join(text for surface, text in SYMPTOMS.items() if surface in row.surfaces)
    yield f"- **Symptom**: {symptoms or 'no error: the application goes on with an old value'}."
    yield f"- **Cause**: {_escape(shown.cause)}"
    yield f"- **Remedy**: {_escape(shown.remedy)}"
    yield f"- Retry: {RETRIES[row.retry]}. Known from: {row.provenance.value}.\n"


def _escape(text: str) -> str:
    """Keep Markdown from reading templates as markup; what stands between backticks is shown as it is."""
    parts = text.split("`")
    shown = [html.escape(part, quote=False).replace("*", "\\*").replace("_", "\\_") for part in parts[::2]]
    parts[::2] = shown
    return "`".join(parts)


if __name__ == "__main__":
    sys.exit(main())
