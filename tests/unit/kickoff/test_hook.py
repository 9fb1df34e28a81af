"""The runtime hook in real interpreters: what runs, how often it reads, and what happens when it cannot."""

import subprocess
import threading
import time

import pytest


def rotating(sidecar):
    """Give every reading a value of its own."""

    class Values(dict):
        def items(self):
            return {"KEY": f"fake-value-{len(sidecar.requests)}"}.items()

    sidecar.values = Values(KEY="")


def test_each_kickoff_sees_a_fresh_value_and_reads_once(programs, sidecar):
    rotating(sidecar)
    seen = programs.output("seen()\nfor _ in range(3): Crew(seen).kickoff()\nCrew(seen).replay('t')")
    assert seen == [f"fake-value-{number}" for number in (1, 2, 3, 4, 5)]
    assert sidecar.requests == ["hook"] * 5


def test_a_kickoff_inside_a_kickoff_belongs_to_it(programs, sidecar):
    rotating(sidecar)
    assert programs.output("Crew(lambda: (seen(), Crew(seen).kickoff(), seen())).kickoff()") == ["fake-value-2"] * 3


def test_what_a_kickoff_left_running_reads_for_itself(programs, sidecar):
    """A task that is started within a kickoff has a copy of its context, and lives on."""
    rotating(sidecar)
    code = """
        import asyncio
        async def late():
            await asyncio.sleep(0.2)
            await Crew(seen).akickoff()
        async def main():
            tasks = []
            await Crew(lambda: tasks.append(asyncio.create_task(late()))).akickoff()
            await asyncio.gather(*tasks)
        asyncio.run(main())
    """
    assert programs.output(code) == ["fake-value-3"]


@pytest.mark.parametrize("method", ["akickoff", "kickoff_async"])
def test_an_asynchronous_kickoff_does_not_block_the_loop(programs, sidecar, method):
    sidecar.delay = 0.5
    code = f"""
        import asyncio
        async def main():
            ticks = 0
            task = asyncio.create_task(Crew(seen).{method}())
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
            print(ticks)
        asyncio.run(main())
    """
    value, ticks = programs.output(code)
    assert value == "fake-value-1"
    assert int(ticks) > 5
    assert sidecar.requests == ["hook"] * 2


@pytest.mark.parametrize("run", ["crew.kickoff()", "asyncio.run(crew.akickoff())"])
def test_an_llm_built_after_the_rotation_with_a_value_from_before_gets_the_current_one(programs, sidecar, run):
    """No reading changes anything then: what is kicked off is looked at each time."""

    class Values(dict):
        def items(self):
            return {"KEY": f"fake-value-{min(len(sidecar.requests), 2)}"}.items()

    sidecar.values = Values(KEY="")
    code = f"""
        import asyncio
        from crewai.llms.base_llm import BaseLLM
        constant = os.environ["KEY"]
        Crew(seen).kickoff()
        llm = BaseLLM(provider="openai", api_key=constant)
        crew = Crew(lambda: print(constant, llm.api_key), llm=llm, note=[constant])
        {run}
    """
    done = programs.run(code)
    assert done.stdout.split() == ["fake-value-2", "fake-value-1", "fake-value-2"], done.stderr
    assert "note[0] still holds an earlier value of KEY" in done.stderr


def test_a_crew_of_a_checkpoint_is_given_back_with_current_keys(programs, sidecar):
    sidecar.values = {"OPENAI_API_KEY": "fake-key-now"}
    code = """
        from crewai.llms.base_llm import BaseLLM
        llm = BaseLLM(provider="openai", api_key="fake-key-of-another-process")
        restored = Crew.from_checkpoint(Crew(llm=llm))
        print(type(restored).__name__, restored.llm is llm, restored.llm.api_key)
    """
    assert programs.output(code) == ["Crew", "True", "fake-key-now"]


def test_a_wrapped_method_looks_like_the_original(programs):
    code = """
        import asyncio, inspect
        print(inspect.iscoroutinefunction(Crew.akickoff), inspect.iscoroutinefunction(Crew.kickoff))
        print(list(inspect.signature(Crew.kickoff).parameters))
    """
    assert programs.output(code) == ["True", "False", "['self',", "'from_checkpoint']"]


def test_a_stream_reads_when_it_runs(programs, sidecar):
    code = """
        class Streaming(Crew):
            stream = True
        crew = Streaming(lambda: iter("stream"))
        stream = crew.kickoff()
        crew.stream, crew.run = False, lambda: list(stream)
        crew.kickoff()
    """
    programs.output(code)
    assert sidecar.requests == ["hook"] * 2


def test_the_task_of_an_a2a_server_is_a_kickoff(programs, sidecar):
    rotating(sidecar)
    code = "import asyncio\nfrom crewai.a2a.utils.task import execute\nasyncio.run(execute(seen))"
    assert programs.output(code) == ["fake-value-2"]


@pytest.mark.attack(twin="test_each_kickoff_sees_a_fresh_value_and_reads_once")
def test_a_kickoff_without_its_secrets_does_not_run(programs, sidecar):
    code = """
        from wi_kickoff.errors import KickoffRefusedError
        pathlib.Path(os.environ["RUN"], "go").touch()
        while not pathlib.Path(os.environ["RUN"], "went").exists(): pass
        import asyncio
        for call in (lambda: Crew(seen).kickoff(), lambda: asyncio.run(Crew(seen).akickoff())):
            try: call()
            except KickoffRefusedError as error: print(error)
    """

    def fail():
        while not (sidecar.folder / "go").exists():
            time.sleep(0.01)
        sidecar.failure = [
            "Workload identity kickoff failed: 1 of 1",
            "KEY (secret://demo/x): SecretNotFound: Make it.",
        ]
        (sidecar.folder / "went").touch()

    thread = threading.Thread(target=fail)
    thread.start()
    done = programs.run(code)
    thread.join()
    assert done.stdout.splitlines() == sidecar.failure * 2, done.stderr


def test_no_sidecar_names_the_variables_and_what_to_do(programs, sidecar):
    sidecar.stop()
    done = programs.run("Crew(seen).kickoff()", WI_KICKOFF="1=KEY=OTHER", PYTHONWARNINGS="ignore")
    assert done.returncode == 1
    assert done.stdout == ""
    for said in (
        "KEY, OTHER: no fresh value",
        "SidecarUnreachable",
        "What to do: look at the sidecar with `kubectl logs",
    ):
        assert said in done.stderr


def test_the_first_import_reads_and_does_not_fail(programs, sidecar):
    sidecar.failure = ["Workload identity kickoff failed: 1 of 1", "KEY: not there"]
    done = programs.run("seen()")
    assert done.stdout == "None\n"
    assert "warning: no values before the first kickoff: KEY: not there" in done.stderr


def test_what_the_launcher_just_read_is_not_read_again(programs, sidecar):
    launcher = ["/usr/bin/env", f"PYTHONPATH={programs.folder}", "python3", "-I", "-S", sidecar.launcher, "--"]
    code = programs.prelude + "seen()\nCrew(seen).kickoff()"
    done = subprocess.run([*launcher, "python3", "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "fake-value-1\n" * 2, done.stderr
    assert sidecar.requests == ["launcher", "hook"]
    del sidecar.requests[:]
    descendant = ["sh", "-c", 'python3 -c "$0"; true', code]
    assert subprocess.run([*launcher, *descendant], capture_output=True, text=True, timeout=30).returncode == 0
    assert sidecar.requests == ["launcher", "hook", "hook"]


def test_kickoffs_at_once_share_a_reading_that_began_after_them(programs, sidecar):
    rotating(sidecar)
    sidecar.delay = 0.2
    code = """
        import threading, time
        def run(number):
            began = time.monotonic()
            Crew(lambda: print(number, os.environ["KEY"], time.monotonic() - began > 0.19)).kickoff()
        threads = [threading.Thread(target=run, args=(n,)) for n in range(20)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """
    told = programs.output(code)
    assert told[2::3] == ["True"] * 20
    assert 3 <= len(sidecar.requests) <= 9


def test_a_child_of_a_fork_can_kick_off_while_its_parent_reads(programs, sidecar):
    sidecar.delay = 0.3
    code = """
        import threading, time
        threads = [threading.Thread(target=Crew().kickoff) for _ in range(3)]
        for thread in threads: thread.start()
        time.sleep(0.1)
        child = os.fork()
        Crew(seen).kickoff()
        if child:
            for thread in threads: thread.join()
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert programs.output(code, options=("-W", "ignore")) == ["fake-value-1"] * 2 + ["0"]


@pytest.mark.parametrize(("version", "said"), [("1.14.4", "CrewAI 1.14.4 is installed"), ("0.203.2", "0.203.2")])
def test_an_older_crewai_is_refused_with_found_and_needed_version(programs, version, said):
    programs.install(version)
    done = programs.run("seen()\nCrew(seen).kickoff()")
    assert done.stdout == "fake-value-1\n"
    assert said in done.stderr
    assert "needs 1.14.5 or newer" in done.stderr


@pytest.mark.parametrize("version", ["1.14.5", "1.15.30", "1.15.30rc1", "1.15"])
def test_a_known_crewai_is_not_talked_about(programs, version):
    programs.install(version)
    done = programs.run("Crew(seen).kickoff()")
    assert (done.stdout, done.stderr.count("warning")) == ("fake-value-1\n", 0)


def test_a_newer_crewai_is_told_in_one_line_and_refreshed(programs, sidecar):
    programs.install("1.16.0")
    rotating(sidecar)
    done = programs.run("Crew(seen).kickoff()")
    assert done.stdout == "fake-value-2\n"
    (line,) = [line for line in done.stderr.splitlines() if "warning" in line]
    assert "CrewAI 1.16.0 is newer than the versions this hook was tested with (1.14.5 to 1.15.30)" in line


def test_templates_are_expanded_with_the_fresh_value_and_never_an_earlier_one(programs, sidecar):
    sidecar.values = {"KEY": "fake-new"}
    answer = sidecar._answer

    def with_templates(source):
        return (
            answer(source)
            .replace(b"v KEY", b"t EARLY=$(KEY)\0v KEY")
            .replace(b"\0.\0", b"\0t URL=u:$(KEY)@$(HOST)\0.\0")
        )

    sidecar._answer = with_templates
    code = "Crew(lambda: print(os.environ['EARLY'], os.environ['URL'])).kickoff()"
    assert programs.output(code, HOST="h", KEY="fake-old", EARLY="x") == ["$(KEY)", "u:fake-new@h"]


def test_a_value_over_the_kernels_limit_stops_the_kickoff(programs, sidecar):
    sidecar.values = {"KEY": "x" * 140_000}
    done = programs.run("Crew(seen).kickoff()")
    assert "ValueNotRepresentable: KEY is larger than the kernel allows" in done.stderr
    assert "xxxx" not in done.stderr


def test_descendants_keep_the_hook_when_the_path_is_a_secret(programs, sidecar):
    sidecar.values = {"PYTHONPATH": "/elsewhere"}
    code = "Crew(lambda: print(os.environ['PYTHONPATH'])).kickoff()"
    assert programs.output(code) == [f"{sidecar.hook}:/elsewhere"]
