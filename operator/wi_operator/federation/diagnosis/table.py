"""The whole table, for the handbook and for tests."""

from __future__ import annotations

from wi_operator.federation.diagnosis import (
    admission,
    advice,
    controller,
    entra,
    grants,
    issuer,
    keyvault,
    kickoff,
    links,
    publication,
    transport,
)
from wi_operator.federation.diagnosis.base import Row

ROWS: tuple[Row, ...] = (
    *entra.ROWS.values(),
    *entra.FALLBACKS,
    *keyvault.BY_CODE.values(),
    *keyvault.FALLBACKS,
    *transport.ROWS.values(),
    transport.VAULT_HOST_UNKNOWN,
    *publication.ROWS,
    *issuer.ROWS,
    *links.ROWS,
    *grants.ROWS,
    *kickoff.ROWS,
    *admission.ROWS,
    *controller.ROWS,
    *advice.ROWS,
)
