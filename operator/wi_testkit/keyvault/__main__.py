"""``python -m wi_testkit.keyvault``: the emulator as a process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from wi_testkit.emulation.checks import UnknownCheckError
from wi_testkit.emulation.listener import admin_token, argument_parser, serve, serving_context, trusting_context
from wi_testkit.keyvault.app import build_app
from wi_testkit.keyvault.keys import EntraKeys
from wi_testkit.keyvault.service import VaultService
from wi_testkit.keyvault.state import Vaults

EXAMPLES = """examples:
  python -m wi_testkit.keyvault --listen 127.0.0.1:9444 --tls-cert tls.crt --tls-key tls.key \\
      --entra-url https://127.0.0.1:9443 --ca ca.crt --admin-token-file admin-token
  curl --cacert ca.crt -X PUT -H "Authorization: Bearer $(cat admin-token)" -d '{"value": "not-a-real-secret"}' \\
      https://127.0.0.1:9444/_admin/vaults/demo/secrets/greeting
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped."""
    parser = argument_parser("wi_testkit.keyvault", "Emulator of Azure Key Vault's data plane (secrets).", EXAMPLES)
    parser.add_argument("--entra-url", required=True, metavar="URL", help="where the keys of access tokens are")
    parser.add_argument(
        "--suffix", default="vault.azure.net", metavar="DOMAIN", help="DNS suffix of the cloud's vaults"
    )
    options = parser.parse_args(arguments)
    keys = EntraKeys(options.entra_url, trusting_context(options.ca))
    try:
        service = VaultService(keys, Vaults(options.suffix.lower().strip(".")), without=options.without)
    except UnknownCheckError as error:
        parser.error(str(error))
    app = build_app(service, admin_token(options.admin_token_file))
    asyncio.run(serve(app, options.listen, serving_context(options.tls_cert, options.tls_key)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
