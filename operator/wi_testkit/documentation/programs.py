"""Judges commands of helm, kubectl and make by what these programs say of themselves, without running them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.modules import HELM, KUBERNETES
from wi_testkit.documentation.fences import ROOT
from wi_testkit.stage.commands import run
from wi_testkit.stage.errors import CommandError

_OPTION = re.compile(r"^\s+(?:(-\w), )?(--[\w-]+)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][\w-]*):", re.MULTILINE)
_SHORT = re.compile(r"-[A-Za-z]")
PLUGINS = frozenset({"wi"})
"""Plugins of kubectl are judged elsewhere."""


def judge(words: Sequence[str]) -> str:
    """Return what is wrong with one command, ``""`` when nothing is or when its program is not known here."""
    program, *rest = words
    if program == "make":
        return _judge_make(rest)
    if program not in ("helm", "kubectl") or set(rest[:1]) & PLUGINS:
        return ""
    try:
        options = _read_options(program, tuple(_find_verbs(program, rest)))
    except CommandError as error:
        return f"{' '.join(words)}: {error}"
    own = rest[: rest.index("--")] if "--" in rest else rest
    unknown = [word for word in own if word.startswith("-") and word != "-" and not _is_known(word, options)]
    return f"{' '.join(words)}: {program} does not know {', '.join(unknown)}" if unknown else ""


def _is_known(word: str, options: frozenset[str]) -> bool:
    name = word.partition("=")[0]
    return name in options or (not name.startswith("--") and bool(_SHORT.match(name)) and name[:2] in options)


def _judge_make(words: Sequence[str]) -> str:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    unknown = [word for word in words if "=" not in word and not word.startswith("-") and word not in targets]
    return f"make has no target {', '.join(unknown)}" if unknown else ""


def _find_verbs(program: str, words: Sequence[str]) -> list[str]:
    """Return the words of ``kubectl -n x rollout restart …`` that choose the command."""
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("-n", "--namespace", "--context", "--kubeconfig"):
            skip = True
        elif word.startswith("-"):
            continue
        elif word in _read_commands(program, tuple(found)):
            found.append(word)
        elif found:
            break
        else:
            raise CommandError(program, f"has no command {word}")
    return found


@cache
def _read_help(program: str, verbs: tuple[str, ...]) -> str:
    folder = binaries.ensure(HELM if program == "helm" else KUBERNETES)
    return run([folder / program, *verbs, *([] if verbs == ("options",) else ["--help"])], timeout=30)


@cache
def _read_commands(program: str, verbs: tuple[str, ...]) -> frozenset[str]:
    """Return what may follow ``verbs``: the indented words that a description follows, above the options."""
    above = re.split(r"^(?:Options|Flags):", _read_help(program, verbs), maxsplit=1, flags=re.MULTILINE)[0]
    return frozenset(re.findall(r"^  ([a-z][\w-]*)\s{2,}\S", above, re.MULTILINE))


@cache
def _read_options(program: str, verbs: tuple[str, ...]) -> frozenset[str]:
    """Return the long and short options of a command, with those that every command takes."""
    text = _read_help(program, verbs) + (_read_help(program, ("options",)) if program == "kubectl" else "")
    return frozenset(name for pair in _OPTION.findall(text) for name in pair if name)


def find_folders() -> list[Path]:
    """Return the folders that hold helm and kubectl, built when the cache lacks them."""
    return [binaries.ensure(each) for each in (HELM, KUBERNETES)]
