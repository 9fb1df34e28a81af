"""How a function becomes a command: the options that all have, its examples, and an end without a traceback."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from wi_operator.cli import completion
from wi_operator.cli.call import Call, Form
from wi_operator.cli.exits import Exit

Command = Callable[..., "Coroutine[Any, Any, Exit] | Exit"]

PANEL = "Cluster and output"
OPTIONS: dict[str, Any] = {
    "namespace": Annotated[
        str,
        typer.Option(
            "--namespace",
            "-n",
            help="Namespace; by default that of the context.",
            rich_help_panel=PANEL,
            autocompletion=completion.namespaces,
            show_default=False,
        ),
    ],
    "all_namespaces": Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="All namespaces.", rich_help_panel=PANEL)
    ],
    "output": Annotated[Form, typer.Option("--output", "-o", help="Form of the output.", rich_help_panel=PANEL)],
    "context": Annotated[
        str,
        typer.Option(
            "--context",
            help="Context of the kubeconfig.",
            rich_help_panel=PANEL,
            autocompletion=completion.contexts,
            show_default=False,
        ),
    ],
    "kubeconfig": Annotated[
        str,
        typer.Option("--kubeconfig", help="Another kubeconfig file.", rich_help_panel=PANEL, show_default=False),
    ],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.", rich_help_panel=PANEL)],
}
CLUSTER = ("context", "kubeconfig", "debug")
NAMESPACED = ("namespace", *CLUSTER)
SCOPED = ("namespace", "all_namespaces", *CLUSTER)
FORM = ("output",)


def command(
    app: typer.Typer,
    name: str,
    *,
    options: tuple[str, ...],
    examples: tuple[str, ...],
    kind: type[TyperCommand] = TyperCommand,
) -> Callable[[Command], Command]:
    """Register a function ``(call, ...) -> Exit``, plain or async, as command ``name`` with these common options."""

    def register(function: Command) -> Command:
        def run(**given: Any) -> None:
            call = Call(**{option: given.pop(option) for option in options})
            raise typer.Exit(guard(call, lambda: function(call, **given)))

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        defaults = Call()
        common = [
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=getattr(defaults, option), annotation=OPTIONS[option]
            )
            for option in options
        ]
        given = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        run.__signature__ = inspect.Signature([*given, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in (*given, *common)}
        run.__doc__ = function.__doc__
        app.command(name, cls=kind, epilog=write_examples(examples))(run)
        return function

    return register


def write_examples(examples: tuple[str, ...]) -> str:
    """Return the paragraph below a command's help."""
    return "Examples:\n\n" + "\n\n".join(examples)


def read_examples(command: Any) -> list[str]:
    """Return the examples of a registered command."""
    return str(command.epilog or "").partition("\n\n")[2].split("\n\n")


def guard(call: Call, run: Callable[[], Coroutine[Any, Any, Exit] | Exit]) -> Exit:
    """Run; whatever goes wrong is told in a sentence on standard error."""
    from wi_operator.cli.complaints import explain
    from wi_operator.core.errors import WorkloadIdentityError

    try:
        outcome = run()
        return outcome if isinstance(outcome, Exit) else asyncio.run(outcome)
    except WorkloadIdentityError as error:
        complaint = explain(error)
        _tell(call, str(complaint))
        return complaint.code
    except (KeyboardInterrupt, asyncio.CancelledError):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.OK
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - the last guard: no traceback reaches a user
        _tell(call, f"kubectl wi failed with {type(error).__name__}: {error}. Run it again with --debug and report it.")
        return Exit.FAULT


def _tell(call: Call, text: str) -> None:
    if call.debug:
        traceback.print_exc()
    print(f"error: {text}", file=sys.stderr)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal; raises ``Complaint`` for no, and where there is nobody to ask."""
    from wi_operator.cli.complaints import Complaint

    if yes:
        return
    if not sys.stdin.isatty():
        raise Complaint(f"{question} There is no terminal to ask on: add --yes.", Exit.USAGE)
    if not typer.confirm(question, err=True):
        raise Complaint("Nothing was done.", Exit.INTERRUPTED)
