"""Real names inside the cluster: a marked block of ``rewrite`` lines in CoreDNS's Corefile, and its removal."""

import json
import re
from collections.abc import Callable, Mapping

from wi_testkit.stage.clusters import Cluster
from wi_testkit.stage.errors import StageError

_NAMESPACE = "kube-system"
_NAME = "coredns"
_BEGIN, _END = "# begin of the workload identity stage", "# end of the workload identity stage"
_BLOCK = re.compile(rf"\n[ \t]*{_BEGIN}\n.*?{_END}(?=\n)", re.DOTALL)


def lead_names(cluster: Cluster, names: Mapping[str, str]) -> bool:
    """Lead each name (``host`` or ``*.suffix``) to a service (``name.namespace``); returns whether anything changed.

    Repeating it changes nothing. Raises StageError where cluster DNS is not a CoreDNS that can be configured.
    """
    return _edit(cluster, lambda corefile: insert_block(corefile, names))


def restore_names(cluster: Cluster) -> bool:
    """Take the block out again; returns whether there was one."""
    return _edit(cluster, remove_block)


def insert_block(corefile: str, names: Mapping[str, str]) -> str:
    """Return the Corefile with one block of ours for ``names``, in the server block of the cluster's zone."""
    bare = remove_block(corefile)
    zone = re.search(r"^\s*kubernetes\s+(\S+)", bare, re.MULTILINE)
    start = re.search(r"^\.(?::53)?\s*\{", bare, re.MULTILINE)
    if not zone or not start:
        raise StageError("the Corefile in ConfigMap kube-system/coredns has no block '.:53 { … kubernetes ZONE … }'")
    lines = [_render_line(name, f"{service}.svc.{zone[1].rstrip('.')}") for name, service in names.items()]
    block = "".join(f"\n    {line}" for line in (_BEGIN, *lines, _END))
    return bare[: start.end()] + block + bare[start.end() :]


def remove_block(corefile: str) -> str:
    """Return the Corefile without our block."""
    return _BLOCK.sub("", corefile)


def _render_line(name: str, target: str) -> str:
    if name.startswith("*."):
        # Anchored, and one label only: no other name that merely ends like it.
        return rf"rewrite name regex ^[a-zA-Z0-9-]+{re.escape(name[1:])}\.$ {target} answer auto"
    return f"rewrite name exact {name} {target}"


def _edit(cluster: Cluster, change: Callable[[str], str]) -> bool:
    found = cluster.get("configmap", _NAME, f"--namespace={_NAMESPACE}")
    if not found:
        raise StageError("there is no ConfigMap kube-system/coredns: the real names need CoreDNS as cluster DNS")
    before = found["data"]["Corefile"]
    after = change(before)
    if after == before:
        return False
    patch = json.dumps({"data": {"Corefile": after}})
    cluster.kubectl("patch", "configmap", _NAME, f"--namespace={_NAMESPACE}", "--type=merge", f"--patch={patch}")
    # Its own reloading may take minutes.
    cluster.kubectl("rollout", "restart", f"deployment/{_NAME}", f"--namespace={_NAMESPACE}")
    cluster.kubectl("rollout", "status", f"deployment/{_NAME}", f"--namespace={_NAMESPACE}", "--timeout=110s")
    return True
