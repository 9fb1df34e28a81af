"""The objects as the watch last showed them, and what a change of one means for the others."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from wi_operator.api import names
from wi_operator.api.conditions import find_condition
from wi_operator.core.memory import share
from wi_operator.index.objects import ObjectKey
from wi_operator.index.store import Index
from wi_operator.reconcile.queue import Ref

Item = Mapping[str, Any]
NAMESPACE_KIND = "Namespace"


def ref_of(kind: str, item: Item) -> Ref:
    """Return the key of an object."""
    return Ref(kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])


def asked_test(item: Item) -> str:
    """Return the test annotation, cut to what the status can echo."""
    annotations = item["metadata"].get("annotations") or {}
    return str(annotations.get(names.TEST_ANNOTATION, ""))[:256]


def status_of(item: Item) -> Mapping[str, Any]:
    """Return the status, or an empty one."""
    return item.get("status") or {}


def is_judged(item: Item) -> bool:
    """Tell whether the status speaks of this spec and of the last asked test."""
    status = status_of(item)
    ready = find_condition(status.get("conditions") or [], "Ready") or {}
    echoed = (status.get("handshake") or {}).get("observedTestRequest", "")
    return bool(ready.get("observedGeneration") == item["metadata"].get("generation") and echoed == asked_test(item))


@dataclass(slots=True)
class Store:
    """Raw objects by key beside the ``Index`` that resolves links."""

    index: Index = field(default_factory=Index)
    items: dict[Ref, Item] = field(default_factory=dict)
    _members: dict[tuple[str, str], set[Ref]] = field(default_factory=dict)
    """The keys of ``items`` by kind and namespace."""
    versions: dict[Ref, str] = field(default_factory=dict)
    """resourceVersion of every object that was shown, namespaces too."""

    def put(self, kind: str, item: Item) -> set[Ref]:
        """Take an object; return the refs whose judgement it can change. Our own status write changes none of its own."""
        ref = ref_of(kind, item)
        before = self.items.get(ref)
        self.versions[ref] = item["metadata"].get("resourceVersion", "")
        if kind == NAMESPACE_KIND:
            return self._put_namespace(item)
        item = self.items[ref] = _lean(item)
        self._members.setdefault((kind, ref.namespace), set()).add(ref)
        if kind == names.CONFIG_KIND:
            self.index.put_config(item)
            affected = (
                set() if before is not None and _face(before) == _face(item) else self._credentials(ref.namespace)
            )
        else:
            self.index.put_credential(item)
            affected = set()
        if before is None or _wish(before) != _wish(item):
            affected.add(ref)
        if _is_default(before) != _is_default(item):
            # Two defaults are told on both.
            affected |= self._defaults(ref)
        return affected

    def drop(self, kind: str, item: Item) -> set[Ref]:
        """Forget an object; return the refs whose judgement that can change."""
        ref = ref_of(kind, item)
        self.items.pop(ref, None)
        self._leave(ref)
        self.versions.pop(ref, None)
        if kind == NAMESPACE_KIND:
            self.index.drop_namespace(item)
            return set()
        affected = self._defaults(ref) if _is_default(item) else set()
        if kind == names.CONFIG_KIND:
            self.index.drop_config(item)
            return affected | self._credentials(ref.namespace)
        self.index.drop_credential(item)
        return affected

    def _put_namespace(self, item: Item) -> set[Ref]:
        name = item["metadata"]["name"]
        before = self.index.organizations.get(name)
        self.index.put_namespace(item)
        if before == self.index.organizations[name]:
            return set()
        return set(self._of(names.CONFIG_KIND, name))

    def _leave(self, ref: Ref) -> None:
        members = self._members.get((ref.kind, ref.namespace), set())
        members.discard(ref)
        if not members:
            self._members.pop((ref.kind, ref.namespace), None)

    def _credentials(self, namespace: str) -> set[Ref]:
        return set(self._of(names.CREDENTIAL_KIND, namespace))

    def _defaults(self, ref: Ref) -> set[Ref]:
        """Return the other defaults of the same kind and namespace."""
        same = self._of(ref.kind, ref.namespace)
        return {other for other in same if other != ref and _is_default(self.items[other])}

    def _of(self, kind: str, namespace: str) -> Set[Ref]:
        return self._members.get((kind, namespace), frozenset())

    def config_item(self, key: ObjectKey) -> Item | None:
        """Return a config's JSON."""
        return self.items.get(Ref(names.CONFIG_KIND, key.namespace, key.name))


def _lean(item: Item) -> Item:
    """Return ``item`` without ``managedFields``: nobody here reads them, and they are half of an object."""
    metadata = {name: value for name, value in item["metadata"].items() if name != "managedFields"}
    lean: Item = share({**item, "metadata": metadata})
    return lean


def _is_default(item: Item | None) -> bool:
    return bool(item and (item.get("spec") or {}).get("default"))


def _wish(item: Item) -> tuple[object, ...]:
    metadata = item["metadata"]
    return metadata.get("uid"), metadata.get("generation"), asked_test(item)


def _face(item: Item) -> tuple[object, ...]:
    """What credentials see of a config."""
    conditions = status_of(item).get("conditions") or []
    said = [(entry.get("type"), entry.get("status"), entry.get("reason"), entry.get("message")) for entry in conditions]
    return item["metadata"].get("uid"), item["metadata"].get("generation"), said
