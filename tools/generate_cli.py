"""Write the reference part of docs/cli.md, below its marker, from the commands themselves; ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer.main
from generated import ROOT, bring_up_to_date, fill_below

from wi_operator.cli.app import app
from wi_operator.cli.commands import PANEL, read_examples
from wi_operator.cli.exits import MEANINGS

PAGE = ROOT / "docs" / "cli.md"
MARKER = "<!-- Everything below is generated from the commands: make docs -->\n"


def main() -> int:
    """Return 1 when the page differs from the commands."""
    return bring_up_to_date({PAGE: fill_below(PAGE, MARKER, ("", *render()))}, "make docs")


def render() -> Iterator[str]:
    """Yield the lines: exit codes, the options that many have, and each command."""
    yield "## Exit codes\n"
    yield "| code | meaning |\n| --- | --- |"
    yield from (f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    commands = dict(find_commands(typer.main.get_command(app), ("kubectl", "wi")))
    shared = {tuple(each.opts): each for command in commands.values() for each in command.params if is_shared(each)}
    yield "\n## Options of cluster and output\n"
    yield "Those that a command takes are named in its usage.\n"
    yield from list_options(list(shared.values()))
    yield "\n## Commands"
    for words, command in commands.items():
        yield from render_command(words, command)


def find_commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield each command that does something, by its words."""
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from find_commands(each, (*words, name))
        else:
            yield " ".join((*words, name)), each


def is_shared(parameter: Any) -> bool:
    """Tell whether an option is one that many commands have."""
    return getattr(parameter, "rich_help_panel", None) == PANEL


def render_command(words: str, command: Any) -> Iterator[str]:
    """Yield heading, usage, description, options and examples."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    own = [each for each in command.params if each.param_type_name == "option" and not is_shared(each)]
    shared = [max(each.opts, key=len) for each in command.params if is_shared(each)]
    usage = " ".join([words, *(name_of(each) for each in arguments), *(f"[{name}]" for name in shared)])
    yield f"\n### {words}\n"
    yield "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n")) + "\n"
    yield f"```text\n{usage}\n```\n"
    told = [each for each in arguments if each.help]
    if told:
        yield "| argument | meaning |\n| --- | --- |"
        yield from (f"| `{escape(name_of(each))}` | {escape(each.help)} |" for each in told)
        yield ""
    if own:
        yield from list_options(own)
        yield ""
    yield "<!-- cloud -->\n```console\n" + "\n".join(read_examples(command)) + "\n```"


def name_of(argument: Any) -> str:
    """Return how usage shows an argument."""
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or name.startswith("[") else f"[{name}]"


def list_options(options: list[Any]) -> Iterator[str]:
    """Yield a table of options."""
    yield "| option | default | meaning |\n| --- | --- | --- |"
    for each in options:
        names = ", ".join(f"`{name}`" for name in sorted(each.opts, key=len))
        default = getattr(each.default, "value", each.default)
        shown = (
            ""
            if default in (None, "", False, (), [])
            else f"`{default:g}`"
            if isinstance(default, float)
            else f"`{default}`"
        )
        yield f"| {names} | {shown} | {escape(each.help or '')} |"


def escape(text: str) -> str:
    """Keep a table's cell one cell."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
