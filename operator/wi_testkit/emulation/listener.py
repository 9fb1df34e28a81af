"""The command line and the HTTPS listener of an emulator process."""

from __future__ import annotations

import argparse
import asyncio
import hmac
import os
import signal
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ADMIN_TOKEN_ENV = "WI_EMULATOR_ADMIN_TOKEN"
ANNOUNCEMENT = "listening on "
PROBE = "/healthz"
MAX_BODY = 256 * 1024
BACKLOG = 1024


def argument_parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser with the flags that every emulator has."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--tls-cert", required=True, type=Path, metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", required=True, type=Path, metavar="FILE", help="private key, PEM")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="CAs trusted for outgoing calls beside the system's")
    parser.add_argument(
        "--admin-token-file",
        type=Path,
        metavar="FILE",
        help=f"bearer token of /_admin; else the variable {ADMIN_TOKEN_ENV}",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="CHECK",
        help="leave one named check out. Only to prove that the tests notice; never for anything else",
    )
    return parser


def admin_token(file: Path | None) -> str:
    """Read the admin token; there is no default, because the admin API can create identities."""
    token = file.read_text().strip() if file else os.environ.get(ADMIN_TOKEN_ENV, "")
    if not token:
        raise SystemExit(f"an admin token is needed: --admin-token-file FILE or {ADMIN_TOKEN_ENV}")
    return token


def trusting_context(ca: Path | None) -> ssl.SSLContext:
    """Return the context of outgoing calls: always verifying, the given CAs added."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cafile=ca)
    return context


def guard_admin(token: str) -> Middleware:
    """Return a middleware that lets only the holder of the admin token reach /_admin."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_admin/"):
            presented = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(presented, f"Bearer {token}".encode()):
                return web.json_response({"error": "the admin API needs its bearer token"}, status=401)
        return await handler(request)

    return guarded


async def healthz(_: web.Request) -> web.Response:
    """Answer a probe."""
    return web.Response(text="ok\n")


async def serve(app: web.Application, listen: str, context: ssl.SSLContext) -> None:
    """Serve until SIGTERM or SIGINT; the first line of output says where."""
    host, _, port = listen.rpartition(":")
    # A client that goes away must not leave a hanging request behind.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        # A thousand clients may come at once; a full queue would cost each of them a second.
        site = web.TCPSite(
            runner, host.strip("[]"), int(port), ssl_context=context, shutdown_timeout=1, backlog=BACKLOG
        )
        await site.start()
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        print(f"{ANNOUNCEMENT}https://{shown}:{bound[1]}", flush=True)
        await stop_signal()
    finally:
        await runner.cleanup()


async def stop_signal() -> None:
    """Wait for the signal to end; as pid 1 of a container there is no default action."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def serving_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return the listener's TLS context; TLS 1.2 is the least that Entra and Key Vault accept."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context
