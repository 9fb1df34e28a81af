"""Every state an object can be in, and the health that the tools of GitOps should see."""

from statuses import ROW_BY_KIND, SURFACES, Life, needs_human

from wi_operator.api.conditions import Condition
from wi_operator.federation.diagnosis import links
from wi_operator.reconcile.decide import Mirrored


def states():
    """Yield a name, an object and its health: Healthy, Progressing or Degraded."""
    for kind in SURFACES:
        yield f"{kind}-ready", Life(kind).check().item, "Healthy"
        unseen = Life(kind).item
        yield f"{kind}-unseen", unseen | {"status": {"observedGeneration": -1}}, "Progressing"
        yield f"{kind}-changed-after-ready", Life(kind).check().change().item, "Progressing"
        yield f"{kind}-checked-again", Life(kind).check().change().check().item, "Healthy"
        stalled = next(row for each, row in ROW_BY_KIND if each == kind and needs_human(row)).diagnose()
        yield f"{kind}-changed-after-stalled", Life(kind).check(stalled).change().item, "Progressing"
        yield f"{kind}-cured", Life(kind).check(stalled).change().check().item, "Healthy"
    for kind, row in ROW_BY_KIND:
        name, failure = f"{kind}-{row.code}-{row.reason}", row.diagnose()
        health = "Degraded" if needs_human(row) else "Progressing"
        yield f"{name}-first", Life(kind).check(failure).item, health
        # One that time can cure does not take Ready away at once.
        kept = "Degraded" if needs_human(row) else "Healthy"
        yield f"{name}-after-ready", Life(kind).check().check(failure, after=600).item, kept
    yield from credential_states()


def credential_states():
    kind = "SecretProviderCredential"
    for row in links.ROWS:
        yield f"{kind}-{row.reason}-refused", Life(kind).refuse(row).item, "Degraded"
    waiting = Condition("HandshakeSucceeded", "False", "HostSlow", "No answer.")
    for is_stalled, health in ((False, "Progressing"), (True, "Degraded")):
        item = Life(kind).check(mirrored=Mirrored(waiting, is_stalled=is_stalled)).item
        yield f"{kind}-config-stalled-{is_stalled}", item, health


def pytest_generate_tests(metafunc):
    if "health" in metafunc.fixturenames:
        found = list(states())
        metafunc.parametrize(("item", "health"), [state[1:] for state in found], ids=[state[0] for state in found])
