"""The commands below ``kubectl wi issuer``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wi_operator.cli.call import Call, open_reach
from wi_operator.cli.commands import CLUSTER, command
from wi_operator.cli.exits import Exit
from wi_operator.core.clock import SystemClock

issuer_app = typer.Typer(no_args_is_help=True, help="The OIDC issuer: export its public documents.")


@issuer_app.callback()
def _group() -> None:
    """Keep ``export`` a command of its own, although it is the only one."""


@command(
    issuer_app,
    "export",
    options=CLUSTER,
    examples=("kubectl wi issuer export public/", "kubectl wi issuer export - | tar x -C public/"),
)
async def export(
    call: Call, folder: Annotated[str, typer.Argument(metavar="DIR", help="- writes a tar archive.")]
) -> Exit:
    """Write discovery and key set below DIR, for static hosting under the issuer URL."""
    from wi_operator.cli.complaints import Complaint
    from wi_operator.cli.installation import read_installation
    from wi_operator.cli.public_documents import BY_EXEC, fetch
    from wi_operator.federation.diagnosis import issuer
    from wi_operator.issuer.documents import write_archive, write_files

    async with open_reach(call) as reach:
        url = (await read_installation(reach.client)).issuer_url
        if url is None:
            raise Complaint(f"You may not read deploy/wi-issuer in wi-system. Another way: {BY_EXEC}")
        if not url:
            raise Complaint(issuer.URL_MISSING.diagnose().message, Exit.BAD)
        discovery, jwks = await fetch(reach.client, url)
    if folder == "-":
        write_archive(discovery, jwks, sys.stdout.buffer, SystemClock().now())
    else:
        write_files(discovery, jwks, folder)
        print(f"wrote both documents of {url} below {folder}; serve them as application/json", file=sys.stderr)
    return Exit.OK
