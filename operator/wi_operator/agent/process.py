"""The sidecar as a process: sockets first, network later, gone at once on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping
from typing import Any

from wi_kickoff import wire
from wi_operator.agent import trust
from wi_operator.agent.client import HttpClient
from wi_operator.agent.declaration import Variable
from wi_operator.agent.grant_set import Grant, GrantSet
from wi_operator.agent.grants import GrantCache, GrantSource
from wi_operator.agent.hardening import forbid_dumps
from wi_operator.agent.kickoff import Kickoffs, Services
from wi_operator.agent.retry import Deadline
from wi_operator.agent.server import KickoffServer, mark_started
from wi_operator.agent.settings import SidecarSettings, read_settings
from wi_operator.agent.tally import Tally
from wi_operator.agent.tokens import TokenCache, TokenKey, allowed
from wi_operator.core.clock import Clock, SystemClock
from wi_operator.core.errors import SettingsError
from wi_operator.core.log import configure, fields
from wi_operator.federation.diagnosis.base import DiagnosedError

log = logging.getLogger(__name__)


def main(environ: Mapping[str, str]) -> int:
    """Run the sidecar until SIGTERM; returns 0, or 78 for settings it cannot use."""
    # Process 1 ignores a signal without a handler; one that comes before the loop runs must end it too.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    configure(environ.get("WI_LOG_LEVEL") or "INFO")
    try:
        forbid_dumps()
    except OSError as error:
        log.warning("the process stays dumpable", extra=fields(error=error.strerror))
    try:
        settings = read_settings(environ)
        sidecar = Sidecar(settings, SystemClock())
    except (SettingsError, ValueError) as error:
        log.error("sidecar not started: %s", error)
        return wire.EXIT_CODE
    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        runner.run(sidecar.run())
    return 0


class ResolvingLoop(asyncio.SelectorEventLoop):
    """An event loop that resolves names in daemon threads, one for those who ask the same at the same time.

    The default executor's threads are joined at the end: a resolver that hangs would delay SIGTERM by seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[tuple[object, ...], asyncio.Future[Any]] = {}

    async def getaddrinfo(self, host: Any, port: Any, **options: int) -> Any:
        """Resolve as ``socket.getaddrinfo`` does."""
        question = (host, port, *options.items())
        if question not in self._asked:
            self._asked[question] = self._ask(host, port, options)
            self._asked[question].add_done_callback(lambda _: self._asked.pop(question))
        return await asyncio.shield(self._asked[question])

    def _ask(self, host: Any, port: Any, options: dict[str, int]) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self.create_future()

        def resolve() -> None:
            try:
                result = socket.getaddrinfo(host, port, **options)
                self._tell(answer, result, None)
            except OSError as error:
                self._tell(answer, None, error)

        threading.Thread(target=resolve, daemon=True).start()
        return answer

    def _tell(self, answer: asyncio.Future[Any], result: Any, error: OSError | None) -> None:
        def settle() -> None:
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)
                answer.exception()  # who asked may have run out of time

        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.call_soon_threadsafe(settle)


class Sidecar:
    """Wires the parts; ``run`` serves until SIGTERM."""

    def __init__(self, settings: SidecarSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        budgets = settings.budgets
        self._internal = HttpClient(trust.internal_context(settings.ca_bundle), budgets, clock)
        self._internal_ca = settings.ca_bundle
        self._cloud: HttpClient | None = None
        self._cloud_ca = ""
        tally = Tally()
        source = GrantSource(
            self._internal,
            settings.grants,
            token_file=settings.token_file,
            credentials=self._credentials(),
            clock=clock,
            tally=tally,
        )
        self._tokens = TokenCache(self._cloud_client, clock=clock, budgets=budgets)
        self._grants = GrantCache(source, clock=clock, budgets=budgets, on_change=self._adopt)
        services = Services(self._grants, self._tokens, self._cloud_client, clock, budgets, tally)
        kickoffs = Kickoffs(settings.declaration, services)
        self._server = KickoffServer(kickoffs.run, budgets=budgets, clock=clock)

    async def run(self) -> None:
        """Listen, prefetch, and wait for SIGTERM."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        await self._listen()
        prefetch = asyncio.create_task(self._prefetch())
        await stopped.wait()
        prefetch.cancel()
        await self._server.stop()
        await self._grants.tell()

    async def _listen(self) -> None:
        files = read_files()
        folders = [os.path.join(self._settings.run_dir, container) for container in self._settings.declaration]
        for container, folder in zip(self._settings.declaration, folders, strict=True):
            await self._server.start(folder, container, files)
        for folder in folders:
            mark_started(folder)
        log.info("listening", extra=fields(containers=list(self._settings.declaration)))

    async def _prefetch(self) -> None:
        """Hold grants and tokens before they are asked for, and renew them in time; failures are told by kickoffs."""
        budgets = self._settings.budgets
        delay = budgets.prefetch_backoff
        while True:
            try:
                grants = await self._grants.refresh()
                await asyncio.gather(*(self._prepare(grants, grant) for grant in grants.grants.values()))
            except DiagnosedError as error:
                log.info("prefetch failed", extra=fields(reason=error.diagnosis.reason))
                await asyncio.sleep(delay)
                delay = min(delay * 2, budgets.prefetch_backoff_limit)
                continue
            delay = budgets.prefetch_backoff
            await asyncio.sleep(max(delay, grants.renew_at - self._clock.now()))

    async def _prepare(self, grants: GrantSet, grant: Grant) -> None:
        """Get a token, and open a connection to the vault."""

        async def remint() -> Grant:
            return grant  # a kickoff may ask for a new assertion, the prefetch does not insist

        try:
            deadline = Deadline.after(self._clock, self._settings.budgets.kickoff)
            key = TokenKey.of(grants, grant)
            await self._tokens.token(key, grant, remint=remint, deadline=deadline)
            if grant.azure is not None:
                self._cloud_client().connect_soon(allowed(grant.azure.vault_url, grant))
        except DiagnosedError as error:
            log.info("prefetch failed", extra=fields(credential=grant.credential, reason=error.diagnosis.reason))

    def _adopt(self, grants: GrantSet | None) -> None:
        """Follow a change of the grants: forget tokens of what is gone, trust the CAs they name."""
        if grants is None:
            self._tokens.retain(())
            return
        keys = [TokenKey.of(grants, grant) for grant in grants.grants.values() if grant.azure is not None]
        self._tokens.retain(keys)
        if grants.ca_bundle != self._cloud_ca and self._cloud is not None:
            self._cloud.close()
            self._cloud = None
        self._cloud_ca = grants.ca_bundle
        if grants.issuer_ca and grants.issuer_ca != self._internal_ca:
            self._trust_issuer(grants.issuer_ca)

    def _trust_issuer(self, bundle: str) -> None:
        """Learn the issuer's next CA from itself, before it signs: this pod's own copy in the env stays the old one."""
        try:
            self._internal.retrust(trust.internal_context(bundle))
        except ValueError:
            log.warning("the issuer's CA bundle holds no usable certificate; the old one stays")
            return
        self._internal_ca = bundle
        log.info("the issuer's CA bundle has changed")

    def _cloud_client(self) -> HttpClient:
        if self._cloud is None:
            try:
                context = trust.cloud_context(self._cloud_ca)
            except ValueError:
                log.warning("the extra CA bundle holds no usable certificate; only public roots are trusted")
                context = trust.cloud_context("")
            self._cloud = HttpClient(context, self._settings.budgets, self._clock, self._settings.proxies)
        return self._cloud

    def _credentials(self) -> set[str]:
        entries = (entry for entries in self._settings.declaration.values() for entry in entries)
        return {entry.reference.credential for entry in entries if isinstance(entry, Variable)}


def read_files() -> dict[str, bytes]:
    """Return what is put into a container's folder, by path in it: the launcher's files, and the hook with its package."""
    folder = os.path.dirname(wire.__file__)
    files = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), "rb") as file:
                files[_place_of(name)] = file.read()
    return files | {name: files[_place_of(name)] for name in wire.FILES}


def _place_of(name: str) -> str:
    package = "" if name == wire.SITE_NAME else "wi_kickoff"
    return os.path.join(wire.HOOK_FOLDER, package, name)
