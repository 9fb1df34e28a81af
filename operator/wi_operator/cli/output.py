"""Where results go: tables and colours on a terminal, plain text in a pipe, JSON or YAML when asked for."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from wi_operator.cli.call import Form
from wi_operator.cli.findings import Finding, Level

PIPE_WIDTH = 10_000
"""Columns where there is no terminal: nothing is broken, so that commands can be copied and lines searched."""
STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


def open_console(*, stderr: bool = False) -> Console:
    """Return a console; NO_COLOR and COLUMNS are honoured."""
    return Console(stderr=stderr, highlight=False, emoji=False)


def emit(form: Form, document: Any, render: Callable[[], RenderableType]) -> None:
    """Write a result in the form asked for; ``document`` is JSON or a dataclass."""
    console = open_console()
    if form is not Form.TABLE:
        sys.stdout.write(dump(form, document))
    elif console.is_terminal:
        console.print(render())
    else:
        sys.stdout.write(draw(render(), width=PIPE_WIDTH))


def dump(form: Form, document: Any) -> str:
    """Return JSON or YAML."""
    plain = json.loads(json.dumps(asdict(document) if is_dataclass(document) else document, default=_plain))  # type: ignore[arg-type]
    if form is Form.JSON:
        return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    import yaml

    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120))


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else getattr(value, "value", str(value))


def draw(renderable: RenderableType, *, width: int = 120) -> str:
    """Return what a console without colours shows, without spaces at the ends of lines."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False, highlight=False, emoji=False).print(
        renderable
    )
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def table(columns: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> Table:
    """Return a table as kubectl's."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column.upper(), overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


def pairs(facts: Mapping[str, str | Text]) -> Table:
    """Return names and values, one pair a line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, value)
    return grid


def level(value: Level) -> Text:
    """Return a level's word in its colour."""
    return Text(value.value, STYLES[value])


def truth(status: str) -> Text:
    """Return a condition's status in its colour."""
    return Text(status or "-", {"True": "green", "False": "bold red"}.get(status, "yellow"))


def list_findings(findings: Iterable[Finding]) -> RenderableType:
    """Return what is wrong and what to do, one paragraph a finding."""
    return Group(*(_finding(finding) for finding in findings))


def _finding(finding: Finding) -> RenderableType:
    head = Text.assemble(level(finding.level), "  ", (finding.reason, "bold"), "  ", ", ".join(finding.objects))
    parts: list[RenderableType] = [head]
    if finding.message:
        parts.append(Padding(Text(finding.message), (0, 0, 0, 6)))
    if finding.remedy:
        parts.append(Padding(Text.assemble(("what to do  ", "bold"), finding.remedy), (0, 0, 0, 6)))
    return Group(*parts)
