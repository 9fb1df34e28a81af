"""What is given the current value, what is only told, and what is never touched."""

import sys
import types

import pytest

from wi_kickoff import rebinding
from wi_kickoff.history import History

OLD, NEW = "fake-old-value", "fake-new-value"


@pytest.fixture
def crewai(monkeypatch):
    """Return namespaces with base classes as CrewAI's modules have them."""
    modules = types.SimpleNamespace()
    for module, name in (("crewai.llms.base_llm", "BaseLLM"), ("crewai.tools.base_tool", "BaseTool")):
        holder = types.ModuleType(module)
        setattr(holder, name, type(name, (Held,), {"__module__": module}))
        monkeypatch.setitem(sys.modules, module, holder)
        setattr(modules, name, getattr(holder, name))
    modules.Crew = type("Crew", (Held,), {"__module__": "crewai.crew"})
    return modules


class Held:
    def __init__(self, **fields):
        self.__dict__.update(fields)


@pytest.fixture
def history(monkeypatch):
    """A process in which KEY was rotated from OLD to NEW."""
    history = History()
    rotate(history, monkeypatch, KEY=OLD)
    rotate(history, monkeypatch, KEY=NEW)
    return history


def rotate(history, monkeypatch, **values):
    history.note(values)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def make_llm(crewai, **fields):
    return crewai.BaseLLM(**{"provider": "openai", "_client": 1, "_async_client": 2, **fields})


def test_an_llm_gets_the_current_key_and_builds_its_clients_anew(crewai, history):
    llm = make_llm(crewai, api_key=OLD, additional={"headers": [OLD]})
    assert rebinding.rebind(crewai.Crew(agents=[{"llm": llm}]), history) == []
    assert (llm.api_key, llm._client, llm._async_client) == (NEW, None, None)
    assert llm.additional == {"headers": [NEW]}


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_an_llm_in_any_collection_is_reached_and_an_old_text_is_told(crewai, history, kind):
    llm = make_llm(crewai, api_key=OLD)
    (warning,) = rebinding.rebind(crewai.Crew(agents=kind([llm]), notes=kind([OLD])), history)
    assert llm.api_key == NEW
    assert "notes" in warning


def test_pydantics_private_and_secret_parts_are_reached(crewai, history):
    class SecretStr(Held):
        def get_secret_value(self):
            return self._secret_value

    llm = make_llm(crewai, api_key=SecretStr(_secret_value=OLD))
    del llm._client
    llm.__pydantic_private__ = {"_client": 1}
    rebinding.rebind(crewai.Crew(llm=llm), history)
    assert llm.api_key._secret_value == NEW
    assert llm.__pydantic_private__ == {"_client": None}


@pytest.mark.parametrize("key", ["a-key-that-somebody-wrote-down", NEW, "x" + OLD, ""])
def test_any_other_text_is_never_touched(crewai, history, key):
    llm = make_llm(crewai, api_key=key, model=key)
    assert rebinding.rebind(crewai.Crew(llm=llm), history) == []
    assert (llm.api_key, llm.model, llm._client) == (key, key, 1)


def test_short_values_are_left_alone(crewai, history, monkeypatch):
    rotate(history, monkeypatch, MODE="1")
    rotate(history, monkeypatch, MODE="2")
    llm = make_llm(crewai, api_key="k", retries="1")
    rebinding.rebind(crewai.Crew(llm=llm), history)
    assert llm.retries == "1"


def test_a_value_that_came_back_is_current(crewai, history, monkeypatch):
    rotate(history, monkeypatch, KEY=OLD)
    fresh, stale = make_llm(crewai, api_key=OLD), make_llm(crewai, api_key=NEW)
    rebinding.rebind(crewai.Crew(llms=[fresh, stale]), history)
    assert (fresh.api_key, stale.api_key) == (OLD, OLD)


def test_two_variables_of_one_old_value_are_told_apart_by_the_provider(crewai, history, monkeypatch):
    for name in ("OPENAI_API_KEY", "OTHER"):
        rotate(history, monkeypatch, **{name: "fake-same-value"})
    for name in ("OPENAI_API_KEY", "OTHER"):
        rotate(history, monkeypatch, **{name: f"fake-new-of-{name}"})
    known, unknown = (make_llm(crewai, api_key="fake-same-value", provider=each) for each in ("openai", "mystery"))
    (warning,) = rebinding.rebind(crewai.Crew(llms=[known, unknown]), history)
    assert known.api_key == "fake-new-of-OPENAI_API_KEY"
    assert unknown.api_key == "fake-same-value"
    assert "OPENAI_API_KEY and OTHER; it is not known which" in warning


def test_a_value_that_another_variable_still_has_is_no_old_one(crewai, history, monkeypatch):
    rotate(history, monkeypatch, TWIN=OLD)
    llm = make_llm(crewai, api_key=OLD)
    assert rebinding.rebind(crewai.Crew(llm=llm), history) == []
    assert llm.api_key == OLD


def test_a_tools_fields_are_rebound_and_its_clients_told(crewai, history):
    tool = crewai.BaseTool(name="search", api_key=OLD, client=Held(session=Held(token=OLD)))
    (warning,) = rebinding.rebind(crewai.Crew(tools=[tool]), history)
    assert tool.api_key == NEW
    assert tool.client.session.token == OLD
    assert ".client.session.token still holds an earlier value of KEY: build it for each kickoff" in warning


def test_an_llm_without_a_key_looks_for_it_again(crewai, history, monkeypatch):
    rotate(history, monkeypatch, OPENAI_API_KEY=NEW)
    waiting, foreign = (make_llm(crewai, api_key=None, provider=each) for each in ("openai", "azure"))
    rebinding.rebind(crewai.Crew(llms=[waiting, foreign]), history)
    assert (waiting._client, foreign._client) == (None, 1)


def test_the_fields_of_bedrock_are_rebound(crewai, history, monkeypatch):
    llm = make_llm(crewai, provider="bedrock", aws_secret_access_key=OLD, _async_client_initialized=True)
    rebinding.rebind(crewai.Crew(llm=llm), history)
    assert (llm.aws_secret_access_key, llm._client, llm._async_client_initialized) == (NEW, None, False)


def test_the_sweep_reaches_what_nothing_refers_to(crewai, history):
    llm, tool = make_llm(crewai, api_key=OLD), crewai.BaseTool(api_key=OLD)
    assert rebinding.sweep(history) == []
    assert (llm.api_key, tool.api_key, llm._client) == (NEW, NEW, None)


def test_a_restored_llm_with_a_key_of_another_process_gets_its_providers(crewai, history, monkeypatch):
    rotate(history, monkeypatch, OPENAI_API_KEY="fake-openai-now", AWS_ACCESS_KEY_ID="fake-aws-now")
    ours = make_llm(crewai, api_key="fake-key-from-elsewhere")
    aws = make_llm(crewai, provider="bedrock", aws_access_key_id="fake-id-from-elsewhere")
    other = make_llm(crewai, provider="mystery", api_key="fake-other-from-elsewhere")
    (warning,) = rebinding.adopt_restored(crewai.Crew(llms=[ours, aws, other]), history)
    assert (ours.api_key, ours._client) == ("fake-openai-now", None)
    assert aws.aws_access_key_id == "fake-aws-now"
    assert other.api_key == "fake-other-from-elsewhere"
    assert "api_key came from a checkpoint and is used as it is" in warning


def test_a_restored_llm_keeps_the_key_that_another_variable_gave_it(crewai, history, monkeypatch):
    rotate(history, monkeypatch, OPENAI_API_KEY="fake-openai-now")
    own, earlier = make_llm(crewai, api_key=NEW), make_llm(crewai, api_key=OLD)
    assert rebinding.adopt_restored(crewai.Crew(llms=[own, earlier]), history) == []
    assert (own.api_key, own._client) == (NEW, 1)
    assert (earlier.api_key, earlier._client) == (NEW, None)


def test_many_warnings_are_cut(crewai, history):
    crew = crewai.Crew(holders=[Held(token=OLD) for _ in range(20)])
    warnings = rebinding.rebind(crew, history)
    assert len(warnings) == rebinding.WARNINGS + 1
    assert warnings[-1] == "15 more objects hold earlier values"


def test_no_warning_and_no_digest_holds_a_value(crewai, history):
    tool = crewai.BaseTool(name="search", client=Held(token=OLD))
    assert OLD not in str(rebinding.rebind(crewai.Crew(tools=[tool]), history))
    assert OLD not in str(vars(history))


def test_objects_that_resist_being_looked_at_do_no_harm(crewai, history):
    class Proxy:
        @property
        def __class__(self):
            raise RuntimeError("working outside of request context")

        def __getattr__(self, name):
            raise RuntimeError(name)

    loop = []
    loop.append(loop)
    crew = crewai.Crew(proxy=Proxy(), module=sys, loop=loop, function=make_llm, number=1j, view=memoryview(b"x"))
    assert rebinding.rebind(crew, history) == []
