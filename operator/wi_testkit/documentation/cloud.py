"""Asks the parsers of the environment cloud-tools about shell text and Bicep; nothing is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wi_testkit.environments import CLOUD_TOOLS, ensure_environment
from wi_testkit.stage.commands import run

_PROGRAM = Path(__file__).with_name("cloud_program.py")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in one text: the words of each command, types of Bicep resources, and what is wrong."""

    commands: tuple[tuple[str, ...], ...]
    resources: tuple[str, ...]
    faults: tuple[str, ...]


def judge(cases: Mapping[str, tuple[str, str]]) -> dict[str, Verdict]:
    """Return the verdict on each ``(language, text)``; languages are ``shell`` and ``bicep``."""
    asked = [{"id": each, "language": language, "text": text} for each, (language, text) in cases.items()]
    told = run([ensure_environment(CLOUD_TOOLS), "-I", _PROGRAM], stdin=json.dumps(asked), timeout=180)
    answers: Sequence[dict[str, list[str]]] = json.loads(told)
    return {
        str(each["id"]): Verdict(tuple(map(tuple, each["commands"])), tuple(each["resources"]), tuple(each["faults"]))
        for each in answers
    }
