"""How etcd is started."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Etcd:
    """One member on loopback, whose data may be lost: it does not sync to disk."""

    program: Path
    data: Path
    port: int = 2379
    peer_port: int = 2380

    @property
    def url(self) -> str:
        """Return where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def health_url(self) -> str:
        """Return the address that answers 200 once it can serve; an API server started earlier panics."""
        return f"{self.url}/health"

    def render_command(self) -> list[str]:
        """Return the command line."""
        peer = f"http://127.0.0.1:{self.peer_port}"
        return [
            str(self.program),
            f"--data-dir={self.data}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
