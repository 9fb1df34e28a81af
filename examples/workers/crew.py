"""A crew as a worker builds it once, when it starts; every kickoff of it uses the secrets of that moment."""

import hashlib
import os

from crewai import Agent, Crew, Task

seen: dict[str, str] = {}


def note_fingerprint(inputs: dict[str, str] | None) -> dict[str, str] | None:
    """Remember which key this kickoff has, by a fingerprint: a value never goes into a prompt or an answer."""
    seen["fingerprint"] = hashlib.sha256(os.environ["OPENAI_API_KEY"].encode()).hexdigest()[:12]
    return inputs


agent = Agent(role="Greeter", goal="Greet", backstory="You greet.", llm="openai/gpt-4o")
crew = Crew(
    agents=[agent],
    tasks=[Task(description="Greet the caller.", expected_output="A greeting.", agent=agent)],
    before_kickoff_callbacks=[note_fingerprint],
)


def describe() -> str:
    """Return which process served the last kickoff, and with which key."""
    return f"{os.getpid()} fingerprint=sha256:{seen['fingerprint']}"
