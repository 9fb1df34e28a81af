"""One kickoff: revalidate the grants, get tokens, read every declared secret now, and answer for all of them at once."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wi_kickoff import wire
from wi_operator.agent.client import HttpClient, TransportError
from wi_operator.agent.declaration import Declaration, Entry, Template, Variable
from wi_operator.agent.freshness import Versions, tell_age
from wi_operator.agent.grant_set import AZURE_KEY_VAULT, Grant, GrantSet
from wi_operator.agent.grants import GrantCache
from wi_operator.agent.report import Failure, error_lines, fingerprint, log_failures, resolved_line, with_kickoff
from wi_operator.agent.retry import Deadline, retry
from wi_operator.agent.settings import Budgets
from wi_operator.agent.tally import SUCCEEDED, Tally
from wi_operator.agent.tokens import TokenCache, TokenKey, allowed, azure_facts
from wi_operator.agent.values import extract
from wi_operator.api.reference import MalformedReferenceError, Reference, azure_secret_name
from wi_operator.core.clock import Clock, format_rfc3339
from wi_operator.core.log import bound, fields
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import grants as grant_rows
from wi_operator.federation.diagnosis import kickoff as rows
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.vaults.azure import UNAUTHORIZED, KeyVault
from wi_operator.vaults.base import VaultSecret

TOKEN_MARGIN = 0.2
"""Seconds by which a token's retries end before the kickoff's: else the reads would run out of time without a reason."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A variable's value, with what may be told of it."""

    variable: Variable
    value: SecretValue
    config: str
    place: str
    secret: VaultSecret
    milliseconds: int


@dataclass(frozen=True, slots=True)
class _Read:
    """One read of a vault; two variables share it if they mean the same: names compare without case in Key Vault."""

    token: TokenKey
    vault_url: str
    secret: str
    version: str
    grant: Grant = field(compare=False)
    name: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Services:
    """What a kickoff works with; ``cloud`` gives the client that trusts what the grants say."""

    grants: GrantCache
    tokens: TokenCache
    cloud: Callable[[], HttpClient]
    clock: Clock
    budgets: Budgets
    tally: Tally = field(default_factory=Tally)


class Kickoffs:
    """Serves the kickoffs of one pod."""

    def __init__(self, declaration: Declaration, services: Services) -> None:
        self._declaration = declaration
        self._services = services
        self._versions = Versions()

    async def run(self, container: str, source: str, deadline: Deadline) -> wire.Reply:
        """Return the reply to a container's request; every failure is in the reply, nothing is raised."""
        identity = {"kickoff": os.urandom(8).hex(), "container": container, "source": source}
        with bound(kickoff=identity["kickoff"]):
            return await self._run(self._declaration[container], identity, deadline)

    async def _run(self, entries: Sequence[Entry], identity: dict[str, str], deadline: Deadline) -> wire.Reply:
        variables = [entry for entry in entries if isinstance(entry, Variable)]
        began = self._services.clock.monotonic()
        try:
            grants = await self._services.grants.revalidate(deadline)
        except DiagnosedError as error:
            return self._fail([_fail(variable, error.diagnosis) for variable in variables], began, identity)
        outcomes = await _Kickoff(self._services, grants, deadline).resolve(variables)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        if failures:
            return self._fail(failures, began, identity, of=len(variables))
        resolved = [outcome for outcome in outcomes if isinstance(outcome, Resolved)]
        identity["ms"] = str(self._note(SUCCEEDED, began))
        told = self._describe(resolved, grants.fingerprint_key)
        lines = [with_kickoff(line, identity["kickoff"]) for line in self._tell(resolved, told, identity)]
        answer = [wire.Field(wire.KICKOFF, identity["kickoff"])] if identity["source"] in wire.TOLD_ID else []
        answer += [wire.Field(wire.LOG_LINE, line) for line in lines]
        asks_for_values = identity["source"] != wire.CHECK
        return wire.Reply(True, (*answer, *(_valued(entries, resolved) if asks_for_values else _informed(told))))

    def _note(self, outcome: str, began: float) -> int:
        """Remember the kickoff for the issuer's metrics; return its milliseconds."""
        milliseconds = _milliseconds(self._services.clock.monotonic() - began)
        self._services.tally.note(outcome, milliseconds)
        return milliseconds

    def _fail(
        self, failures: Sequence[Failure], began: float, identity: dict[str, str], *, of: int | None = None
    ) -> wire.Reply:
        """Return the reply of a kickoff whose ``failures`` are ``of`` so many variables, all by default."""
        if failures:
            self._note(failures[0].diagnosis.reason, began)
        return _failed(failures, len(failures) if of is None else of, identity)

    def _describe(self, resolved: Sequence[Resolved], key: bytes) -> list[dict[str, object]]:
        """Return what may be told of each variable, as structured fields."""
        rotated = self._versions.note({one.place: one.secret for one in resolved})
        now = self._services.clock.now()
        return [
            {
                "variable": one.variable.name,
                "reference": str(one.variable.reference),
                "version": one.secret.version,
                "ms": one.milliseconds,
                "fingerprint": fingerprint(key, one.value),
                **tell_age(one.secret, now, is_rotated=one.place in rotated),
            }
            for one in resolved
        ]

    def _tell(
        self, resolved: Sequence[Resolved], told: Sequence[dict[str, object]], identity: dict[str, str]
    ) -> list[str]:
        lines = []
        for config, count in Counter(one.config for one in resolved).items():
            line = resolved_line(config, count)
            secrets = [each for one, each in zip(resolved, told, strict=True) if one.config == config]
            log.info(line, extra=fields(**identity, config=config, secrets=secrets))
            lines.append(line)
        now = self._services.clock.now()
        return lines + list(dict.fromkeys(line for one in resolved if (line := _expiry_warning(one, now))))


@dataclass(slots=True)
class _Kickoff:
    """The state of one kickoff: nothing in it outlives it, so a value read earlier cannot serve it."""

    services: Services
    grants: GrantSet
    deadline: Deadline
    _tokens: dict[TokenKey, SecretValue | asyncio.Task[SecretValue]] = field(default_factory=dict)
    _renewed: set[TokenKey] = field(default_factory=set)

    async def resolve(self, variables: Sequence[Variable]) -> list[Resolved | Failure]:
        """Read what the variables mean, in parallel and each secret once; the outcomes have the variables' order."""
        plans = [self._plan(variable.reference) for variable in variables]
        reads = list(dict.fromkeys(plan for plan in plans if isinstance(plan, _Read)))
        answers = dict(zip(reads, await asyncio.gather(*map(self._read, reads)), strict=True))
        return [
            _fail(variable, plan) if isinstance(plan, Diagnosis) else _judge(variable, plan, answers[plan])
            for variable, plan in zip(variables, plans, strict=True)
        ]

    def _plan(self, reference: Reference) -> _Read | Diagnosis:
        grant = self.grants.grants.get(reference.credential)
        if grant is None:
            refusal = self.grants.refusals.get(reference.credential)
            return refusal or grant_rows.NOT_GRANTED.diagnose(credential=reference.credential)
        if grant.provider != AZURE_KEY_VAULT or grant.azure is None:
            return grant_rows.BY_REASON["NotSupportedYet"].diagnose(object="The credential", what="a provider")
        try:
            name = azure_secret_name(reference)
        except MalformedReferenceError as error:
            return rows.INVALID_SECRET_NAME.diagnose(detail=str(error))
        token = TokenKey.of(self.grants, grant)
        return _Read(token, grant.azure.vault_url, name.lower(), reference.version.lower(), grant, name)

    async def _read(self, read: _Read) -> tuple[VaultSecret, int] | Diagnosis:
        began = self.services.clock.monotonic()

        async def once() -> VaultSecret:
            return await self._read_once(read)

        try:
            secret = await retry(once, deadline=self.deadline, budgets=self.services.budgets)
        except DiagnosedError as error:
            return error.diagnosis
        return secret, _milliseconds(self.services.clock.monotonic() - began)

    async def _read_once(self, read: _Read) -> VaultSecret:
        facts = azure_facts(read.grant.azure) if read.grant.azure else {}
        # Checked before the token is asked for: no token is even minted for a host that may not have it.
        vault = KeyVault(allowed(read.vault_url, read.grant), facts)
        client = self.services.cloud()
        token = await self._token(read, lambda: client.connect_soon(vault.endpoint))
        try:
            response = await client.send(vault.build_read(read.name, read.version, token))
            if response.status == UNAUTHORIZED:
                token = await self._replace_token(read, token)
                response = await client.send(vault.build_read(read.name, read.version, token))
        except TransportError as error:
            raise DiagnosedError(error.diagnose(vault=True)) from error
        return vault.read_answer(read.name, read.version, response)

    async def _token(self, read: _Read, meanwhile: Callable[[], None] = lambda: None) -> SecretValue:
        """Return this kickoff's token, asked for once, whatever comes of it; ``meanwhile`` is called if it is waited for."""
        key = read.token
        if key not in self._tokens:
            held = self.services.tokens.held(key)
            self._tokens[key] = asyncio.create_task(self._ask_token(key, read.grant)) if held is None else held
        token = self._tokens[key]
        if isinstance(token, SecretValue):
            return token
        token.add_done_callback(_mark_retrieved)
        meanwhile()
        return await asyncio.shield(token)

    async def _ask_token(self, key: TokenKey, grant: Grant) -> SecretValue:
        async def remint() -> Grant:
            renewed = await self.services.grants.refresh(anew=True)
            return _renewed_grant(renewed, grant)

        deadline = self.deadline.earlier(TOKEN_MARGIN)
        return await self.services.tokens.token(key, grant, remint=remint, deadline=deadline)

    async def _replace_token(self, read: _Read, refused: SecretValue) -> SecretValue:
        """Return another token after the vault refused one; the first reader to come asks, once per kickoff."""
        if read.token not in self._renewed:
            self._renewed.add(read.token)
            self.services.tokens.drop(read.token, refused)
            self._tokens.pop(read.token, None)
        return await self._token(read)


def _judge(variable: Variable, read: _Read, answer: tuple[VaultSecret, int] | Diagnosis) -> Resolved | Failure:
    if isinstance(answer, Diagnosis):
        return _fail(variable, answer)
    secret, milliseconds = answer
    try:
        value = extract(secret.value, variable.reference)
    except DiagnosedError as error:
        return _fail(variable, error.diagnosis)
    place = f"{read.vault_url}/{read.secret}/{read.version}"
    return Resolved(variable, value, str(read.grant.config), place, secret, milliseconds)


def _fail(variable: Variable, diagnosis: Diagnosis) -> Failure:
    return Failure(variable.name, variable.reference, diagnosis)


def _mark_retrieved(task: asyncio.Task[SecretValue]) -> None:
    # Whoever waited may have run out of time; asyncio would complain of an error that nobody saw.
    if not task.cancelled():
        task.exception()


def _renewed_grant(renewed: GrantSet, grant: Grant) -> Grant:
    anew = renewed.grants.get(grant.credential)
    if anew is None:
        refusal = renewed.refusals.get(grant.credential)
        raise DiagnosedError(refusal or grant_rows.NOT_GRANTED.diagnose(credential=grant.credential))
    return anew


def _valued(entries: Sequence[Entry], resolved: Sequence[Resolved]) -> list[wire.Field]:
    values = {one.variable.name: one.value for one in resolved}
    return [_field(entry, values) for entry in entries]


def _informed(told: Sequence[dict[str, object]]) -> list[wire.Field]:
    names = ("variable", "version", "age", "fingerprint", "reference")
    return [wire.Field(wire.INFORMATION, "\t".join(str(each.get(name, "")) for name in names)) for each in told]


def _field(entry: Entry, values: dict[str, SecretValue]) -> wire.Field:
    if isinstance(entry, Template):
        return wire.Field(wire.TEMPLATE, f"{entry.name}={entry.template}")
    return wire.Field(wire.VALUE, f"{entry.name}={values[entry.name].reveal()}")


def _failed(failures: Sequence[Failure], total: int, identity: dict[str, str]) -> wire.Reply:
    log.error("kickoff failed", extra=fields(**identity, failures=log_failures(failures)))
    lines = error_lines(failures, total)
    lines[0] = with_kickoff(lines[0], identity["kickoff"])
    return wire.Reply(False, tuple(wire.Field(wire.MESSAGE, line) for line in lines))


def _expiry_warning(one: Resolved, now: float) -> str:
    expires = one.secret.expires
    if expires is None or expires > now:
        return ""
    name = one.variable.reference.secret
    return (
        f"Workload identity warning: secret '{name}' expired at {format_rfc3339(expires)}; the vault still hands it out"
    )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
