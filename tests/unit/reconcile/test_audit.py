"""The proof that events still flow."""

from wi_operator.reconcile.audit import Audit, unseen
from wi_operator.reconcile.queue import Ref
from wi_operator.reconcile.store import Store

A, B = Ref("WorkloadIdentityConfig", "a", "one"), Ref("Namespace", "", "a")


def test_what_was_listed_and_never_shown_is_unseen():
    assert unseen({A: "2", B: "7"}, {A: "1", B: "7"}, {A: "1", B: "7"}) == [A]
    assert unseen({A: "2"}, {}, {}) == [A]


def test_a_change_that_came_late_or_went_on_is_seen():
    assert unseen({A: "2"}, {A: "1"}, {A: "2"}) == []
    assert unseen({A: "2"}, {A: "1"}, {A: "3"}) == []


def test_an_object_that_was_deleted_meanwhile_was_shown():
    assert unseen({A: "2"}, {A: "1"}, {}) == []


class Lists:
    def __init__(self):
        self.version = "1"

    async def list(self, path, *, metadata_only):
        assert metadata_only
        name = {"metadata": {"name": "a", "resourceVersion": self.version}}
        return ([name] if path.endswith("namespaces") else []), "9"


async def test_a_silent_watch_fails_the_audit_and_a_living_one_passes_it():
    store, lists = Store(), Lists()
    proofs = []
    audit = Audit(lists, store, audit_seconds=0.01, on_proof=lambda: proofs.append(1))
    store.put("Namespace", {"metadata": {"name": "a", "uid": "u", "resourceVersion": "1"}})
    await audit.compare()
    assert audit.is_passed
    lists.version = "2"
    await audit.compare()
    assert not audit.is_passed
    assert (audit.unseen, len(proofs)) == (1, 1)
    store.put("Namespace", {"metadata": {"name": "a", "uid": "u", "resourceVersion": "2"}})
    await audit.compare()
    assert audit.is_passed
    assert (audit.unseen, len(proofs)) == (0, 2)
