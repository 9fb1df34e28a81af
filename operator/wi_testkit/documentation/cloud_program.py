"""Stands alone, in the environment cloud-tools: judges shell text, az commands and Bicep without running anything.

Standard input: ``[{"id", "language": shell|az|bicep, "text"}]``; for ``az``, ``text`` is one command. Standard output: a list of
``{"id", "commands": [[word]], "faults": [text], "resources": [type]}``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any


class _Azure:
    """The parser of azure-cli, offline: without extensions, telemetry and a login."""

    def __init__(self, folder: str) -> None:
        os.environ.update(
            AZURE_CONFIG_DIR=folder,
            AZURE_CORE_COLLECT_TELEMETRY="no",
            AZURE_EXTENSION_USE_DYNAMIC_INSTALL="no",
            AZURE_CORE_NO_COLOR="yes",
        )
        from azure.cli.core import get_default_cli

        self.cli = get_default_cli()

    def judge(self, words: list[str]) -> str:
        """Return what az says against the command, ``""`` when it would take it."""
        complaint = io.StringIO()
        invocation = self.cli.invocation_cls(
            cli_ctx=self.cli,
            parser_cls=self.cli.parser_cls,
            commands_loader_cls=self.cli.commands_loader_cls,
            help_cls=self.cli.help_cls,
        )
        self.cli.invocation = invocation
        loader = invocation.commands_loader
        loader.load_command_table(words)
        name = invocation._rudimentary_get_command(words)
        if name not in loader.command_table:
            return f"az has no command '{name or ' '.join(words)}'"
        loader.command_table = {name: loader.command_table[name]}
        loader.command_name = invocation.data["command_string"] = name
        loader.load_arguments(name)
        invocation.parser.cli_ctx = self.cli
        invocation.parser.load_command_table(loader)
        invocation.parser.error = _refuse
        for parser in invocation.parser.subparser_map.values():
            parser.error = _refuse
        try:
            with contextlib.redirect_stderr(complaint):
                invocation.parser.parse_args(words)
        except (ValueError, SystemExit) as error:
            return str(error) if isinstance(error, ValueError) else complaint.getvalue().strip() or "refused"
        return ""


def _refuse(message: str) -> None:
    raise ValueError(message)


def _walk(node: Any) -> Iterator[Any]:
    """Yield every command node of a shell tree, also those in substitutions."""
    if node.kind == "command":
        yield node
    for child in [*getattr(node, "parts", ()), *getattr(node, "list", ())]:
        yield from _walk(child)
    if getattr(node, "command", None) is not None:
        yield from _walk(node.command)


def _take_apart(text: str) -> list[list[str]]:
    """Return the words of each command; raises bashlex's error for what is no shell."""
    import bashlex

    found = (node for tree in bashlex.parse(text) for node in _walk(tree))
    words = [[part.word for part in node.parts if part.kind == "word"] for node in found]
    return [each for each in words if each]


def _judge(azure: _Azure, case: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": case["id"], "commands": [], "faults": [], "resources": []}
    try:
        if case["language"] == "bicep":
            from pycep import BicepParser

            tree = BicepParser().parse(text=case["text"])
            answer["resources"] = [
                f"{each['type']}@{each['api_version']}" for each in tree.get("resources", {}).values()
            ]
        else:
            answer["commands"] = _take_apart(case["text"])
    except Exception as error:  # noqa: BLE001 - each parser has errors of its own; all mean that the text is wrong
        answer["faults"].append(f"{type(error).__name__}: {error}")
    for words in answer["commands"]:
        if words[0] == "az" and (fault := azure.judge(words[1:])):
            answer["faults"].append(f"{' '.join(words)}: {fault}")
    return answer


def main() -> None:
    """Answer all cases of standard input."""
    with tempfile.TemporaryDirectory() as folder:
        azure = _Azure(folder)
        answers = [_judge(azure, case) for case in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
