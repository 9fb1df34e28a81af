"""``kubectl wi`` in the documentation is what its parser takes; what `fic` prints is what the cloud's tools take."""

import pytest
import typer.main

from wi_operator.cli import fic
from wi_operator.cli.app import app
from wi_testkit.documentation.cloud import judge

MANAGED = {"identity": "crew", "group": "platform"}
CONFIG = {
    "metadata": {"namespace": "team-a", "name": "azure"},
    "spec": {"provider": "Azure", "azure": {"clientId": "c0ffee00-1234-4abc-9def-0123456789ab"}},
    "status": {
        "federation": {
            "issuer": "https://identity.example.com",
            "subject": "organization:5b0fba8c-43f1-4c0a-9d4c-6d1f0f5b7a01",
            "audience": "api://AzureADTokenExchange",
            "organization": "5b0fba8c-43f1-4c0a-9d4c-6d1f0f5b7a01",
        }
    },
}


def refuse(words):
    """Return what the plugin's parser says against the words behind ``kubectl wi``, ``""`` when it takes them; runs nothing."""
    command, name, parent = typer.main.get_command(app), "kubectl wi", None
    words = list(words)
    while True:
        try:
            context = command.make_context(name, words, parent=parent)
        except typer.Exit:  # --help
            return ""
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if not hasattr(command, "resolve_command"):
            return ""
        words = [*getattr(context, "_protected_args", ()), *context.args]
        parent = context
        try:
            name, command, words = command.resolve_command(context, words)
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def find_plugin_commands(verdicts):
    for place, told in verdicts.items():
        for words in told.commands:
            if words[:2] == ("kubectl", "wi"):
                yield place, words[2:]


def test_every_documented_call_is_taken(verdicts):
    found = list(find_plugin_commands(verdicts))
    assert len(found) >= 4
    assert [f"{place}: {fault}" for place, words in found if (fault := refuse(words))] == []


@pytest.mark.parametrize("words", [["test", "--frob"], ["keys", "list", "--frob"], ["fic"], ["keys", "frob"]])
def test_what_it_does_not_know_is_refused(words):
    assert refuse(words)


@pytest.mark.parametrize("identity", [{}, MANAGED], ids=["app", "managed identity"])
def test_what_fic_prints_is_taken_by_az_and_bicep(identity):
    credential = fic.of_config(CONFIG, **identity)
    told = judge(
        {
            "az": ("shell", fic.render(credential, fic.Language.AZ)),
            "bicep": ("bicep", fic.render(credential, fic.Language.BICEP)),
        }
    )
    assert [each.faults for each in told.values()] == [(), ()]
    assert told["az"].commands[0][0] == "az"
    assert any("federatedIdentityCredentials" in each for each in told["bicep"].resources)
