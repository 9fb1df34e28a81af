"""The federated credential in four languages, read by other parsers than ours."""

import io
import json
import shlex

import hcl2
import pytest
from cli_cases import CLIENT, SUBJECT, config

from wi_operator.cli import fic
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.fic import Language

WANTED = {
    "name": SUBJECT.replace(":", "-"),
    "issuer": "https://identity.demo.test",
    "subject": SUBJECT,
    "audiences": ["api://AzureADTokenExchange"],
}


def written(language, **options):
    return fic.render(fic.of_config(config(), **options), language)


def plain(value):
    """hcl2 keeps the quotes of strings in some of its releases."""
    return value.strip('"') if isinstance(value, str) else [plain(each) for each in value]


def test_az():
    words = shlex.split(written(Language.AZ))
    assert words[:5] == ["az", "ad", "app", "federated-credential", "create"]
    assert words[words.index("--id") + 1] == CLIENT
    assert json.loads(words[words.index("--parameters") + 1]) == WANTED


def test_az_of_a_managed_identity():
    words = shlex.split(written(Language.AZ, identity="crew", group="platform"))
    flags = dict(zip(words[4::2], words[5::2], strict=True))
    assert flags == {
        "--name": WANTED["name"],
        "--identity-name": "crew",
        "--resource-group": "platform",
        "--issuer": WANTED["issuer"],
        "--subject": SUBJECT,
        "--audiences": "api://AzureADTokenExchange",
    }


def test_json():
    assert json.loads(written(Language.JSON)) == WANTED


@pytest.mark.parametrize("options", [{}, {"identity": "crew", "group": "platform"}], ids=["app", "managed identity"])
def test_terraform(options):
    parsed = hcl2.load(io.StringIO(written(Language.TERRAFORM, **options)))
    ((kind, named),) = parsed["resource"][0].items()
    (block,) = named.values()
    assert "federated_identity_credential" in kind
    assert plain(block["issuer"]) == WANTED["issuer"]
    assert plain(block["subject"]) == SUBJECT
    assert plain(block.get("audiences") or block["audience"]) == WANTED["audiences"]


@pytest.mark.parametrize("options", [{}, {"identity": "crew", "group": "platform"}], ids=["app", "managed identity"])
def test_bicep(golden, options):
    golden("fic-bicep-identity" if options else "fic-bicep-app", written(Language.BICEP, **options))


def test_a_quote_in_a_name_ends_no_string():
    text = written(Language.BICEP, identity="it's", group="platform", name="${x}")
    assert "name: 'it\\'s'" in text
    assert "name: '\\${x}'" in text


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (config(provider="AWS"), "is of AWS"),
        (config(federation={}), "has no status yet"),
        (config(federation={"issuer": "", "organization": "o"}), "issuer.url"),
    ],
    ids=["AWS", "no status", "no issuer URL"],
)
def test_what_has_nothing_to_enter_is_told(item, told):
    with pytest.raises(Complaint, match=told):
        fic.of_config(item)
