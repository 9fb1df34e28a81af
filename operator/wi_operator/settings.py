"""The settings of the processes: the only reader of the environment (prefix ``WI_``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AliasChoices, Field, ValidationError
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

    keys_dir: Path = Field(default=Path("/etc/wi/keys"), description="Mounted Secret with keys.json.")
    state_dir: Path = Field(default=Path("/etc/wi/state"), description="Mounted ConfigMap with state.json.")
    tls_dir: Path = Field(
        default=Path("/etc/wi/tls"), description="Mounted Secret with tls.crt and tls.key for the grants."
    )
    public_tls_dir: Path | None = Field(
        default=None, description="Mounted Secret for the public port; without: plain HTTP."
    )
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
    sidecar_log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Of the sidecar."
    )


class ControllerProcessSettings(CommonSettings):
    """The controller's."""

    token_file: Path = Field(default=Path("/var/run/wi/token"), description="Projected token for the handshakes' door.")
    recheck_seconds: float = Field(
        default=600, ge=1, description="Time between two checks of a healthy object, ± 10 %."
    )


S = TypeVar("S", bound=CommonSettings)


def load(kind: type[S]) -> S:
    """Read the environment into ``kind``; raises ``SettingsError`` naming each variable and its fault."""
    try:
        return kind()
    except SettingsSourceError as error:  # a list or object that is not JSON
        raise SettingsError(f"{error}; write it as JSON") from None
    except ValidationError as error:
        faults = "; ".join(f"WI_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(faults) from None


def read_text(path: Path) -> str:
    """Return the text of a mounted file; raises ``SettingsError`` naming the file."""
    try:
        return path.read_text()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
