"""Debian's nginx for a test: installed, or unpacked into the cache; one process that ends with its test."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wi_testkit.controlplane.packages import unpack_package
from wi_testkit.controlplane.readiness import wait_until

_PACKAGE = "nginx"
_MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {site};
}}
"""


def find_nginx() -> Path:
    """Return the program; where it is not installed its Debian package is unpacked. Raises ControlPlaneError."""
    if found := shutil.which("nginx"):
        return Path(found)
    return unpack_package(_PACKAGE) / "usr/sbin/nginx"


@contextmanager
def serve(site: Path, folder: Path) -> Iterator[None]:
    """Run nginx with the server blocks of ``site`` until the block ends; ``folder`` is its scratch space."""
    configuration = folder / "nginx.conf"
    configuration.write_text(_MAIN.format(folder=folder, site=site))
    log = folder / "nginx.log"
    with log.open("wb") as stream:
        command = [str(find_nginx()), "-e", "stderr", "-p", str(folder), "-c", str(configuration)]
        process = subprocess.Popen(command, stderr=stream, env={"PATH": os.defpath})
        try:
            wait_until(
                lambda: (folder / "nginx.pid").exists(),
                name="nginx",
                timeout=10,
                log=log,
                is_alive=lambda: process.poll() is None,
            )
            yield
        finally:
            process.terminate()
            process.wait(10)
