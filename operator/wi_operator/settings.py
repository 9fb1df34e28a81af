"""The settings of the processes: the only reader of the environment (prefix ``WI_``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SettingsSourceError

from wi_operator.api import names
from wi_operator.core.errors import SettingsError

Port = Annotated[int, Field(ge=1, le=65535)]


class CommonSettings(BaseSettings):
    """What every process of the installation is told."""

    model_config = SettingsConfigDict(
        env_prefix="WI_",
        env_ignore_empty=True,
        env_parse_none_str="null",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    namespace: str = Field(default=names.SYSTEM_NAMESPACE, description="Namespace of the installation.")
    pod_name: str = Field(default="local", description="Name of this pod; identity in the Lease.")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Level of the JSON log.")
    health_port: Port = Field(default=8081, description="Port of /livez, /readyz and /metrics.")
    public_url: str = Field(
        default="",
        validation_alias=AliasChoices("WI_PUBLIC_URL", "OIDC_ISSUER"),
        description="Public https URL of the issuer; without it nothing is minted.",
    )
    grants_url: str = Field(
        default=f"https://{names.GRANTS_SERVICE}.{names.SYSTEM_NAMESPACE}.svc",
        description="Internal URL of the grants.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts beyond the clouds' own that may receive tokens."
    )
    extra_ca_file: Path | None = Field(default=None, description="PEM file of authorities for the clouds' hosts.")
    grant_seconds: int = Field(default=3600, ge=60, le=86400, description="Life of a subject token in a grant.")

    @property
    def extra_ca(self) -> str:
        """The PEM text of ``extra_ca_file``, ``""`` without one; raises ``SettingsError`` when it cannot be read."""
        return read_text(self.extra_ca_file) if self.extra_ca_file else ""


class ServingSettings(CommonSettings):
    """What the processes with listeners are told."""

    # Together with the listeners' own 10 s it has to stay below the pod's grace period of 30 s.
    drain_seconds: float = Field(
        default=8, ge=0, le=15, description="Time after SIGTERM in which everything is still served."
    )


class IssuerProcessSettings(ServingSettings):
    """The issuer's."""

    keys_dir: Path = Field(default=Path("/etc/wi/keys"), description="Mounted Secret with the signing keys.")
    state_dir: Path = Field(default=Path("/etc/wi/state"), description="Mounted ConfigMap with state.json.")
    tls_dir: Path = Field(
        default=Path("/etc/wi/tls"), description="Mounted Secret with tls.crt and tls.key for the grants."
    )
    public_tls_dir: Path | None = Field(
        default=None, description="Mounted Secret for the public port; without: plain HTTP."
    )
    private_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("WI_PRIVATE_KEY", "OIDC_PRIVATE_KEY"),
        description="Signing keys of an administrator, PEM; the first one signs, all are published.",
    )
    private_key_file: Path | None = Field(default=None, description="The same as a file, read again when it changes.")
    ca_file: Path = Field(
        default=Path("/etc/wi/ca/ca.crt"), description="Public bundle of the internal authority, given out with grants."
    )
    handshake_seconds: int = Field(default=300, ge=60, le=3600, description="Life of an assertion for a check.")
    discovery_max_age_seconds: int = Field(default=3600, ge=0, description="How long discovery may be cached.")
    jwks_max_age_seconds: int = Field(default=300, ge=0, description="How long the key set may be cached.")
    review_cache_seconds: float = Field(
        default=45, ge=0, le=50, description="How long a token review's answer is believed."
    )
    pod_rate: float = Field(
        default=10, gt=0, description="Grant requests per second of one pod; bursts of five seconds."
    )
    organization_rate: float = Field(default=100, gt=0, description="The same of one organization.")
    review_rate: float = Field(default=100, gt=0, description="Token reviews per second that one replica asks for.")
    public_rate: float = Field(default=500, gt=0, description="Requests per second for the public documents.")
    public_port: Port = 8080
    grants_port: Port = 8443


class WebhookProcessSettings(ServingSettings):
    """The webhook's."""

    tls_dir: Path = Field(default=Path("/etc/wi/tls"), description="Mounted Secret with tls.crt and tls.key.")
    ca_file: Path = Field(
        default=Path("/etc/wi/ca/ca.crt"), description="Public certificate of the internal authority."
    )
    port: Port = 9443
    sidecar_image: str = Field(description="Image of the sidecar; best by digest.")
    image_pull_policy: str = Field(default="", pattern="^(|Always|IfNotPresent|Never)$", description="Of the sidecar.")
    image_pull_secrets: tuple[str, ...] = Field(default=(), description="Names added to injected pods.")
    sidecar_uid: int | None = Field(default=29387, description="User of the sidecar; null: the platform chooses.")
    envfile_enabled: bool = Field(default=False, description="Whether pods may choose the delivery mode envfile.")
    sidecar_log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Of the sidecar."
    )
    sidecar_log_levels: tuple[str, ...] = Field(
        default=("DEBUG", "INFO", "WARNING", "ERROR"), description="What a pod may choose by annotation."
    )
    sidecar_resources: dict[str, dict[str, str]] = Field(
        default={"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        description="Of the sidecar, unless the pod chooses by annotation.",
    )
    sidecar_guaranteed_cpu: str = Field(
        default="200m",
        description="Of the sidecar in pods that would else no longer be Guaranteed; empty: they are not.",
    )
    sidecar_resource_bounds: dict[Literal["cpu", "memory"], dict[Literal["least", "most"], str]] = Field(
        default={"cpu": {"least": "1m", "most": "500m"}, "memory": {"least": "32Mi", "most": "256Mi"}},
        description="The least and the most that a pod may choose.",
    )
    sidecar_https_proxy: str = Field(default="", description="Proxy of sidecars on their way to the clouds.")
    sidecar_no_proxy: str = Field(default="", description="Hosts that sidecars reach without it, with commas.")
    sidecar_connect_seconds: float = Field(default=2, ge=0.1, le=30, description="For connecting, TLS included.")
    sidecar_read_seconds: float = Field(default=5, ge=0.1, le=60, description="For one answer.")
    sidecar_kickoff_seconds: float = Field(default=15, ge=0.1, le=60, description="For a kickoff with all retries.")

    @property
    def sidecar_environment(self) -> dict[str, str]:
        """Variables of sidecars beyond those that each has; those with their defaults are left out."""
        variables = {"HTTPS_PROXY": self.sidecar_https_proxy, "NO_PROXY": self.sidecar_no_proxy}
        for name in ("connect", "read", "kickoff"):
            seconds = getattr(self, f"sidecar_{name}_seconds")
            is_default = seconds == type(self).model_fields[f"sidecar_{name}_seconds"].default
            variables[f"WI_{name.upper()}_SECONDS"] = "" if is_default else f"{seconds:g}"
        return {name: value for name, value in variables.items() if value}


class ControllerProcessSettings(CommonSettings):
    """The controller's."""

    token_file: Path = Field(default=Path("/var/run/wi/token"), description="Projected token for the handshakes' door.")
    recheck_seconds: float = Field(
        default=600, ge=1, description="Time between two checks of a healthy object, ± 10 %."
    )
    audit_seconds: float = Field(
        default=120, ge=1, description="Time between two comparisons of the watch with a full list."
    )
    own_keys: bool = Field(default=False, description="An administrator keeps the signing keys: make and rotate none.")
    own_webhook_certificate: bool = Field(
        default=False,
        description="Others (cert-manager) keep the webhook's certificate and its caBundle: make neither.",
    )
    rotate_seconds: float = Field(
        default=90 * 86400, ge=0, description="Age at which a signing key is followed by a new one."
    )
    publish_before_seconds: float = Field(
        default=86400, ge=1, description="Time between the publication of a signing key and its first use."
    )
    retire_after_seconds: float = Field(
        default=7200, ge=1, description="Time for which a key is published after its successor signs."
    )
    ca_settle_seconds: float = Field(
        default=180, ge=0, description="Time for which the internal CA's successor is in the bundle before it may sign."
    )
    ca_overlap_seconds: float = Field(
        default=86400, ge=0, description="Time for which the internal CA stays in the bundle after its successor signs."
    )

    @model_validator(mode="after")
    def _check_retirement(self) -> ControllerProcessSettings:
        if self.retire_after_seconds < self.grant_seconds:
            raise ValueError(
                "WI_RETIRE_AFTER_SECONDS must not be less than WI_GRANT_SECONDS: tokens would outlive their key"
            )
        return self


S = TypeVar("S", bound=CommonSettings)


def load(kind: type[S]) -> S:
    """Read the environment into ``kind``; raises ``SettingsError`` naming each variable and its fault."""
    try:
        return kind()
    except SettingsSourceError as error:  # a list or object that is not JSON
        raise SettingsError(f"{error}; write it as JSON") from None
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(dict(fault)) for fault in error.errors())) from None


def _describe(fault: Mapping[str, Any]) -> str:
    """Name the variable; a fault of several together names them itself."""
    name = ".".join(map(str, fault["loc"])).upper()
    return f"WI_{name.removeprefix('WI_')}: {fault['msg']}" if name else str(fault["msg"]).removeprefix("Value error, ")


def read_text(path: Path) -> str:
    """Return the text of a mounted file; raises ``SettingsError`` naming the file."""
    try:
        return path.read_text()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
