"""The commands below ``kubectl wi keys``."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from wi_operator.cli import completion
from wi_operator.cli.call import Call, open_reach
from wi_operator.cli.commands import CLUSTER, FORM, command, confirm
from wi_operator.cli.exits import Exit
from wi_operator.core.clock import SystemClock

keys_app = typer.Typer(no_args_is_help=True, help="The issuer's signing keys: list, rotate, taint, confirm.")

Kid = Annotated[str, typer.Argument(help="Id of the key, or how it begins.", autocompletion=completion.kids)]
Seconds = Annotated[float, typer.Option("--timeout", help="Seconds to wait for wi-controller.", min=1)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class KeyCommand(TyperCommand):
    """Of a key. Its id is base64url, so that one in 64 begins with a hyphen; what is no option of the command is an id."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put such words behind ``--``."""
        options = {"--", *(word for each in self.get_params(ctx) for word in (*each.opts, *each.secondary_opts))}
        ids = [word for word in args if word.startswith("-") and word.partition("=")[0] not in options]
        if ids and "--" not in args:
            args = [*(word for word in args if word not in ids), "--", *ids]
        return super().parse_args(ctx, args)


@command(keys_app, "list", options=(*CLUSTER, *FORM), examples=("kubectl wi keys list", "kubectl wi keys list -o json"))
async def list_keys(call: Call) -> Exit:
    """List the keys: which one signs, which come and go. Ends with 1 when one is lost."""
    from wi_operator.cli import keys as module
    from wi_operator.cli.output import emit

    async with open_reach(call) as reach:
        listed = module.rows(*await module.read_timetable(reach.client), SystemClock().now())
    emit(call.output, listed, lambda: module.render(listed))
    return Exit.BAD if any(row.state == "lost" for row in listed) or not listed else Exit.OK


@command(keys_app, "rotate", options=CLUSTER, examples=("kubectl wi keys rotate",))
async def rotate(call: Call, timeout: Seconds = 60) -> Exit:
    """Publish a new key; it signs once it was seen in public and the clouds' caches have expired, a day later by default."""
    from wi_operator.cli import keys as module

    now = SystemClock().now()
    async with open_reach(call) as reach:
        before, _ = await module.read_timetable(reach.client)
        module.check_rotation(before, now)
        request = f"kubectl-wi-{now:.0f}"
        await module.ask(reach.client, rotate=request)
        after = await module.wait(reach.client, lambda found: found.observed_rotate == request, seconds=timeout)
    fresh = next((entry.kid for entry in after.entries if before.find(entry.kid) is None), "?")
    print(f"key {fresh} is published; `kubectl wi keys list` shows when it signs")
    return Exit.OK


@command(
    keys_app,
    "taint",
    options=CLUSTER,
    examples=("kubectl wi keys taint x1Tq0Yk3", "kubectl wi keys taint x1Tq0Yk3 --yes"),
    kind=KeyCommand,
)
async def taint(call: Call, kid: Kid, yes: Yes = False, timeout: Seconds = 60) -> Exit:
    """Take a leaked key out of the key set within seconds; grants that it signed are minted anew."""
    from wi_operator.cli import keys as module

    now = SystemClock().now()
    async with open_reach(call) as reach:
        timetable, _ = await module.read_timetable(reach.client)
        found = module.find(timetable, kid)
        others = [each for each in timetable.signers(now) if each != found]
        warning = (
            ""
            if others
            else " It is the only key that may sign: nothing is minted until its successor was seen in public."
        )
        confirm(f"Take key {found} out for good?{warning}", yes=yes)
        await module.ask(reach.client, taint=found)
        await module.wait(reach.client, lambda after: after.find(found) is None, seconds=timeout)
    print(f"key {found} is out of the record; every replica drops it within seconds")
    return Exit.OK


@command(keys_app, "confirm", options=CLUSTER, examples=("kubectl wi keys confirm x1Tq0Yk3",), kind=KeyCommand)
async def confirm_published(call: Call, kid: Kid, yes: Yes = False, timeout: Seconds = 60) -> Exit:
    """Say that you have seen a new key in the public key set, where the cluster itself cannot reach it."""
    from wi_operator.cli import keys as module

    async with open_reach(call) as reach:
        timetable, _ = await module.read_timetable(reach.client)
        found = module.find(timetable, kid)
        confirm(
            f"Did <issuer.url>/oauth2/jwks show key {found}? Signing with a key that clouds cannot see fails.", yes=yes
        )
        await module.ask(reach.client, confirm=found)

        await module.wait(reach.client, lambda after: module.is_armed(after, found), seconds=timeout)
    print(f"key {found} counts as seen; `kubectl wi keys list` shows when it signs")
    return Exit.OK
