"""A watch keeps a consumer's picture true: full list first, then events, then a new list after a break."""

import asyncio
import contextlib

import pytest

from wi_operator.cluster import watch as watch_module
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ExpiredVersionError, UnreachableError
from wi_operator.cluster.watch import Watch


def item(name: str, version: str = "1") -> dict:
    return {"metadata": {"namespace": "a", "name": name, "resourceVersion": version}}


class ScriptedClient(KubernetesClient):
    """Serves lists as pages of two, then one script of events for each watch; ends a script by raising its last entry."""

    def __init__(self, lists, scripts) -> None:
        self.lists, self.scripts, self.versions, self.pages = lists, scripts, [], 0

    async def get(self, path, **query):
        del path
        start = int(query.get("continue", "0"))
        if not start:
            self.current = self.lists.pop(0)
            if isinstance(self.current, Exception):
                raise self.current
        self.pages += 1
        following = str(start + 2) if start + 2 < len(self.current) else ""
        return {"metadata": {"continue": following, "resourceVersion": "100"}, "items": self.current[start : start + 2]}

    async def watch(self, path, *, resource_version, selectors=None):
        del path, selectors
        self.versions.append(resource_version)
        for entry in self.scripts.pop(0) if self.scripts else [None]:
            if entry is None:
                await asyncio.Event().wait()
            if isinstance(entry, Exception):
                raise entry
            kind, name, version = entry
            yield {"type": kind, "object": item(name, version)}


@pytest.fixture
async def follow(monkeypatch):
    monkeypatch.setattr(watch_module, "RETRY_SECONDS", 0.001)
    tasks = []

    async def start(lists, scripts):
        client, present = ScriptedClient(lists, scripts), {}
        watch = Watch(
            client,
            "/things",
            lambda found: present.__setitem__(found["metadata"]["name"], found["metadata"]["resourceVersion"]),
            lambda lost: present.pop(lost["metadata"]["name"]),
        )
        tasks.append(asyncio.create_task(watch.run()))
        await asyncio.sleep(0.05)
        return watch, client, present

    yield start
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_all_pages_of_the_list_are_taken_before_it_counts_as_synced(follow):
    watch, client, present = await follow([[item(name) for name in "abcde"]], [])
    assert set(present) == set("abcde")
    assert (client.pages, client.versions, watch.synced.is_set()) == (3, ["100"], True)


async def test_events_change_the_picture_and_bookmarks_only_the_version(follow):
    script = [("MODIFIED", "a", "101"), ("DELETED", "b", "102"), ("ADDED", "c", "103"), ("BOOKMARK", "x", "110")]
    _, client, present = await follow([[item("a"), item("b")]], [script])
    assert present == {"a": "101", "c": "103"}
    assert client.versions == ["100", "110"]


async def test_what_was_deleted_during_a_break_is_dropped_by_the_next_list(follow):
    gone = ExpiredVersionError("WATCH /things", 410, "too old")
    _, client, present = await follow([[item("a"), item("b")], [item("b", "2")]], [[gone]])
    assert present == {"b": "2"}
    assert client.versions == ["100", "100"]


async def test_without_an_api_server_it_is_not_synced_and_tries_again(follow):
    down = UnreachableError("GET /things", 0, "down")
    watch, _, present = await follow([down, [item("a")]], [])
    assert watch.synced.is_set()
    assert present == {"a": "1"}
