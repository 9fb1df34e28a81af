"""The sidecar's settings, read from a mapping that ``main`` passes; standard library only, for memory's sake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wi_operator.agent.declaration import Declaration, parse_declaration
from wi_operator.agent.proxy import DIRECT, ProxySettings, read_proxy
from wi_operator.api.names import RUN_DIR, TOKEN_DIR
from wi_operator.core.errors import SettingsError
from wi_operator.federation.hosts import Endpoint, ForbiddenHostError, parse_endpoint

LEAST_SECONDS = 0.1
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long and how many: seconds, unless a name says otherwise."""

    revalidation: float = 1.0
    connect: float = 2.0
    read: float = 5.0
    kickoff: float = 15.0
    backoff: float = 0.2
    backoff_limit: float = 3.0
    shutdown: float = 2.0
    idle_connection: float = 50.0
    prefetch_backoff: float = 5.0
    prefetch_backoff_limit: float = 60.0
    connections_per_host: int = 8
    parallel_kickoffs: int = 4
    waiting_kickoffs: int = 32
    response_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """Everything that a sidecar is told."""

    declaration: Declaration
    grants: Endpoint
    ca_bundle: str
    token_file: str = f"{TOKEN_DIR}/token"
    run_dir: str = RUN_DIR
    log_level: str = "INFO"
    budgets: Budgets = field(default_factory=Budgets)
    proxies: ProxySettings = DIRECT


def read_settings(environ: Mapping[str, str]) -> SidecarSettings:
    """Read ``WI_*``; raises ``SettingsError`` naming the variable."""
    level = environ.get("WI_LOG_LEVEL", "INFO").upper() or "INFO"
    if level not in LEVELS:
        raise SettingsError(f"WI_LOG_LEVEL is {level!r}; write one of {', '.join(LEVELS)}")
    ca_bundle = _required(environ, "WI_CA_BUNDLE")
    if "-----BEGIN CERTIFICATE-----" not in ca_bundle:
        raise SettingsError("WI_CA_BUNDLE holds no PEM certificate: restart the pod, so that the webhook sets it anew")
    return SidecarSettings(
        declaration=parse_declaration(_required(environ, "WI_DECLARATION")),
        grants=_grants_endpoint(environ),
        ca_bundle=ca_bundle,
        token_file=environ.get("WI_TOKEN_FILE") or f"{TOKEN_DIR}/token",
        run_dir=environ.get("WI_RUN_DIR") or RUN_DIR,
        log_level=level,
        budgets=_budgets(environ),
        # The issuer is inside the cluster: it is never asked through a proxy, whatever NO_PROXY says.
        proxies=read_proxy(_either(environ, "HTTPS_PROXY"), _either(environ, "NO_PROXY")),
    )


def _budgets(environ: Mapping[str, str]) -> Budgets:
    # Launcher and hook wait a little longer than the largest kickoff: a larger one would have nobody to answer.
    return Budgets(
        connect=_seconds(environ, "WI_CONNECT_SECONDS", 2.0, most=30.0),
        read=_seconds(environ, "WI_READ_SECONDS", 5.0, most=60.0),
        kickoff=_seconds(environ, "WI_KICKOFF_SECONDS", 15.0, most=60.0),
    )


def _seconds(environ: Mapping[str, str], name: str, default: float, *, most: float) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not LEAST_SECONDS <= seconds <= most:
        raise SettingsError(f"{name} is {text!r}; write seconds from {LEAST_SECONDS:g} to {most:g}")
    return seconds


def _either(environ: Mapping[str, str], name: str) -> str:
    """Return a variable that programs know in capitals and in small letters."""
    return environ.get(name) or environ.get(name.lower()) or ""


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"{name} is missing: the sidecar is started by the webhook, which sets it")
    return value


def _grants_endpoint(environ: Mapping[str, str]) -> Endpoint:
    try:
        return parse_endpoint(_required(environ, "WI_GRANTS_URL"))
    except ForbiddenHostError as error:
        raise SettingsError(f"WI_GRANTS_URL: {error}") from error
