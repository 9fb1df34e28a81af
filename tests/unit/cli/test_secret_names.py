"""Names of secrets, and why there are none."""

from cli_cases import condition, credential

from wi_operator.cli import secret_names
from wi_operator.cli.output import draw


def listing(*names, conditions=None):
    item = credential(conditions=conditions, listSecretNames=True)
    item["status"]["secretNames"] = list(names)
    return item


def test_names_come_with_their_references(golden):
    items = [listing("db-password", "greeting"), credential("team-b", "other")]
    golden("secrets", draw(secret_names.render(secret_names.read(items), secret_names.judge(items))))


def test_each_reason_for_no_names_is_told():
    refused = [condition("SecretsListable", "False", "VaultForbidden", "No role."), condition("Ready")]
    found = [each.reason for each in secret_names.judge([listing(), listing("a", conditions=refused), listing("a")])]
    assert found == ["NotListed", "VaultForbidden"]
    assert secret_names.judge([listing(*(f"n{number}" for number in range(200)))])[0].reason == "Truncated"
    assert "No SecretProviderCredential" in draw(secret_names.render((), ()))
