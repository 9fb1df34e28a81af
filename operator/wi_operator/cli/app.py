"""The commands of ``kubectl wi``: what they are called, what they take, how they end. What they do stands elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from wi_operator.cli import completion
from wi_operator.cli.call import Call, open_reach
from wi_operator.cli.commands import FORM, NAMESPACED, SCOPED, command
from wi_operator.cli.exits import Exit
from wi_operator.cli.issuer_app import issuer_app
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
app.add_typer(issuer_app, name="issuer")

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


@command(
    app,
    "secrets",
    options=(*SCOPED, *FORM),
    examples=("kubectl wi secrets", "kubectl wi secrets demo -n team-a", "kubectl wi secrets -A -o json"),
)
async def secrets(
    call: Call,
    credential: Annotated[
        str, typer.Argument(metavar="[CREDENTIAL]", help="Without it all.", autocompletion=completion.credentials)
    ] = "",
) -> Exit:
    """List the names of the secrets in a vault, where listSecretNames is on; never a value."""
    from wi_operator.cli import secret_names as module
    from wi_operator.cli.findings import Level, worst
    from wi_operator.cli.output import emit
    from wi_operator.cluster.paths import CREDENTIALS, credential_path

    async with open_reach(call) as reach:
        named = credential.removeprefix("spcred/")
        path = credential_path(reach.namespace, named)
        items = [await reach.client.get(path)] if named else await reach.list(CREDENTIALS)
    listed, findings = module.read(items), module.judge(items)
    document = {"secrets": listed, "findings": findings}
    emit(call.output, document, lambda: module.render(listed, findings))
    return Exit.BAD if worst(findings) is Level.FAIL else Exit.OK


@command(
    app,
    "verify-rotation",
    options=(*NAMESPACED, *FORM),
    examples=(
        "kubectl wi verify-rotation job/kickoff",
        "kubectl wi verify-rotation cronjob/nightly --rotate-with ./rotate.sh",
        "kubectl wi verify-rotation job/kickoff --yes",
    ),
)
async def verify_rotation(
    call: Call,
    job: Annotated[str, typer.Argument(metavar="job/NAME|cronjob/NAME", autocompletion=completion.jobs)],
    rotate_with: Annotated[
        str, typer.Option("--rotate-with", help="Command that rotates the secret, run by the shell in between.")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for a rotation; equal values are accepted.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave both Jobs there.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for each kickoff.", min=1)] = 120,
) -> Exit:
    """Run a Job twice with a rotation in between, and compare what both kickoffs read.

    The Job is copied: one pod, one try, removed afterwards. Values are compared by the fingerprints in the sidecar's log. Between
    the kickoffs it waits for Enter, or runs --rotate-with.
    """
    from wi_operator.cli import rotation_check as module
    from wi_operator.cli.output import emit, open_console
    from wi_operator.cli.waiting import await_rotation

    console = open_console(stderr=True)
    async with open_reach(call) as reach:
        copy = module.copy_job(await module.find_template(reach, job), job)
        with console.status("first kickoff"):
            before = await module.kick_off(reach, copy, seconds=timeout, keep=keep)
        references = sorted({each.reference for each in before})
        was_rotated = not yes and await_rotation(references, rotate_with)
        with console.status("second kickoff"):
            after = await module.kick_off(reach, copy, seconds=timeout, keep=keep)
    compared = module.compare(before, after)
    code, sentence = module.verdict(compared, was_rotated=was_rotated)
    emit(
        call.output,
        module.document(compared, code, sentence),
        lambda: module.render(compared, code, sentence),
    )
    return code


@command(
    app,
    "doctor",
    options=(*NAMESPACED, *FORM),
    examples=("kubectl wi doctor", "kubectl wi doctor -n team-a", "kubectl wi doctor --bundle support.tar.gz"),
)
async def doctor(
    call: Call,
    bundle: Annotated[
        str, typer.Option("--bundle", help="Also write a support bundle (tar.gz), redacted.", metavar="FILE")
    ] = "",
) -> Exit:
    """Check the installation from the API server to a pod that would be injected; each finding with its remedy.

    Nothing is changed: the pod is made in a dry run, in the namespace given. Ends with 1 when a check fails.
    """
    from wi_operator.cli import checks as judged
    from wi_operator.cli import doctor as module
    from wi_operator.cli.findings import Level
    from wi_operator.cli.output import emit, open_console

    async with open_reach(call) as reach:
        with open_console(stderr=True).status("looking"):
            found = judged.judge(await module.gather(reach, SystemClock()))
            if bundle:
                from wi_operator.cli.bundle import write_bundle

                await write_bundle(reach.client, bundle, found, SystemClock().now())
    emit(call.output, found, lambda: module.render(found))
    return Exit.BAD if judged.count(found)[Level.FAIL] else Exit.OK
