"""The commands of ``kubectl wi``: what they are called, what they take, how they end. What they do stands elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from wi_operator.cli import completion
from wi_operator.cli.call import Call, open_reach
from wi_operator.cli.commands import FORM, NAMESPACED, SCOPED, command
from wi_operator.cli.exits import Exit
from wi_operator.cli.keys_app import keys_app
from wi_operator.core.clock import SystemClock

app = typer.Typer(
    name="kubectl wi",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The Workload Identity Operator: what is set up, whether it works, and what to do when it does not.",
)
app.add_typer(keys_app, name="keys")

Seconds = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the verdict.", min=1)]


@command(
    app,
    "status",
    options=(*SCOPED, *FORM),
    examples=("kubectl wi status", "kubectl wi status -A", "kubectl wi status -n team-a -o json"),
)
async def status(call: Call) -> Exit:
    """Show issuer, configs, credentials and injected pods, what is wrong and what to do.

    Ends with 1 when something is wrong.
    """
    from wi_operator.cli import status as module
    from wi_operator.cli import status_view
    from wi_operator.cli.findings import Level, worst
    from wi_operator.cli.output import emit

    now = SystemClock().now()
    async with open_reach(call) as reach:
        shown = module.judge(await module.gather(reach), now)
    emit(call.output, shown, lambda: status_view.render(shown, now))
    return Exit.BAD if worst(shown.findings) is Level.FAIL else Exit.OK


@command(
    app,
    "test",
    options=(*SCOPED, *FORM),
    examples=("kubectl wi test", "kubectl wi test wic/azure spcred/demo", "kubectl wi test -A --timeout 120"),
)
async def check_now(
    call: Call,
    objects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[wic/NAME|spcred/NAME]...",
            help="What to test; without it everything in the namespace.",
            autocompletion=completion.objects,
        ),
    ] = None,
    timeout: Seconds = 60,
) -> Exit:
    """Let the controller check now, and wait for the verdict.

    It annotates the objects with test-connection. Ends with 0 when all are Ready, 1 when one is not, 4 without an answer in time.
    """
    from wi_operator.cli import connection_test as module
    from wi_operator.cli.output import emit, open_console

    request = f"kubectl-wi-{SystemClock().now():.3f}"
    console = open_console(stderr=True)
    async with open_reach(call) as reach:
        targets = await module.find_targets(reach, objects or ())
        with console.status("asking") as shown:
            verdicts = await module.run(reach, targets, request=request, seconds=timeout, tell=shown.update)
    emit(call.output, module.document(verdicts), lambda: module.render(verdicts, timeout))
    return module.code_of(verdicts)


@command(
    app,
    "fic",
    options=NAMESPACED,
    examples=(
        "kubectl wi fic azure",
        "kubectl wi fic azure -o terraform > credential.tf",
        "kubectl wi fic azure -o az --managed-identity crew --resource-group platform",
    ),
)
async def fic(
    call: Call,
    config: Annotated[str, typer.Argument(help="Name of the config.", autocompletion=completion.configs)],
    language: Annotated[str, typer.Option("--output", "-o", "--format", help="az, terraform, bicep or json.")] = "az",
    name: Annotated[str, typer.Option("--name", help="Name of the federated credential.", show_default=False)] = "",
    managed_identity: Annotated[
        str,
        typer.Option("--managed-identity", help="Of a user-assigned managed identity instead of an app registration."),
    ] = "",
    resource_group: Annotated[str, typer.Option("--resource-group", help="The managed identity's.")] = "",
) -> Exit:
    """Print the federated credential that a config needs in Entra.

    As an az command, Terraform, Bicep or the JSON of Microsoft Graph. Its name is by default that of the organization, because
    an app takes one credential for each.
    """
    from wi_operator.cli import fic as module
    from wi_operator.cli.complaints import Complaint
    from wi_operator.cluster.paths import config_path

    known = {each.value: each for each in module.Language}
    if language not in known:
        raise Complaint(f"-o {language} is unknown; there are {', '.join(known)}.", Exit.USAGE)
    async with open_reach(call) as reach:
        item = await reach.client.get(config_path(reach.namespace, config.removeprefix("wic/")))
    credential = module.of_config(item, name=name, identity=managed_identity, group=resource_group)
    print(module.render(credential, known[language]), end="")
    return Exit.OK


@command(
    app,
    "explain",
    options=(*FORM, "debug"),
    examples=("kubectl wi explain SubjectMismatch", "kubectl wi explain AADSTS700213", "kubectl wi explain"),
)
def explain(
    call: Call,
    name: Annotated[
        str, typer.Argument(metavar="[CODE|REASON]", help="Without it all are listed.", autocompletion=completion.codes)
    ] = "",
) -> Exit:
    """Explain a reason or a cloud's code: cause and remedy. Needs no cluster."""
    from wi_operator.cli import explanation as module
    from wi_operator.cli.output import emit, table

    if not name:
        known = module.list_all()
        rows = [(reason, ", ".join(codes)) for reason, codes in known.items()]
        emit(call.output, known, lambda: table(("reason", "codes"), rows))
        return Exit.OK
    found = module.find(name)
    emit(call.output, found, lambda: module.render(found))
    return Exit.OK
