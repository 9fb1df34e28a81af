"""What programs that are not CrewAI use: environment(), kickoff(), and the command line."""

import subprocess
import sys


def test_environment_is_fresh_and_changes_nothing(programs, sidecar):
    code = """
        import wi_kickoff
        fresh = wi_kickoff.environment()
        print(fresh["KEY"], fresh["RUN"] == os.environ["RUN"], os.environ["KEY"])
    """
    sidecar.values = {"KEY": "fake-new"}
    programs.prelude = "import os\n"
    assert programs.output(code, KEY="fake-old") == ["fake-new", "True", "fake-old"]
    assert sidecar.requests == ["api"]


def test_kickoff_refreshes_the_process_once_for_all_inside(programs, sidecar):
    code = """
        import asyncio, wi_kickoff
        with wi_kickoff.kickoff() as run:
            seen()
            with wi_kickoff.kickoff() as inner: print(inner is run)
            Crew(seen).kickoff()
            print(len(run.id))
        async def main():
            async with wi_kickoff.kickoff(): seen()
        asyncio.run(main())
        Crew(seen).kickoff()
    """
    assert programs.output(code) == ["fake-value-1", "True", "fake-value-1", "16", "fake-value-1", "fake-value-1"]
    assert sidecar.requests == ["hook", "api", "api", "hook"]


def test_kickoff_rebinds_what_crewai_holds(programs, sidecar):
    code = """
        import wi_kickoff
        from crewai.llms.base_llm import BaseLLM
        llm = BaseLLM(api_key=os.environ["KEY"], provider="x")
        pathlib.Path(os.environ["RUN"], "rotate").touch()
        with wi_kickoff.kickoff(): print(llm.api_key, llm._client)
    """

    class Values(dict):
        def items(self):
            rotated = (sidecar.folder / "rotate").exists()
            return {"KEY": "fake-value-2" if rotated else "fake-value-1"}.items()

    sidecar.values = Values(KEY="")
    assert programs.output(code) == ["fake-value-2", "None"]


def test_a_refused_kickoff_does_not_enter(programs, sidecar):
    sidecar.failure = ["Workload identity kickoff failed: 1 of 1", "KEY: no"]
    programs.prelude = "import wi_kickoff\n"
    done = programs.run("with wi_kickoff.kickoff(): print('inside')")
    assert (done.returncode, done.stdout) == (1, "")
    assert "KickoffRefusedError: Workload identity kickoff failed: 1 of 1" in done.stderr


def command(programs, *arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "wi_kickoff", *arguments], capture_output=True, text=True, timeout=30,
        env={"PYTHONPATH": f"{programs.sidecar.hook}", "PATH": "/usr/bin:/bin", "KEPT": "1"}, **more,
    )  # fmt: skip


def test_exec_gives_a_child_fresh_values(programs, sidecar):
    done = command(programs, "exec", "--", "sh", "-c", "echo $KEY $KEPT; exit 7")
    assert (done.returncode, done.stdout) == (7, "fake-value-1 1\n")
    sidecar.failure = ["Workload identity kickoff failed: 1 of 1", "KEY: no"]
    done = command(programs, "exec", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == sidecar.failure


def test_exec_has_the_shells_exit_codes(programs):
    assert command(programs, "exec", "--", "no-such-tool").returncode == 127
    assert command(programs, "exec", "--", "/etc/passwd").returncode == 126
    assert command(programs, "exec").returncode == 2
    assert command(programs).returncode == 2


def test_check_shows_one_screen_and_no_value(programs, sidecar):
    done = command(programs, "check")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["VARIABLE", "REFERENCE", "VERSION", "AGE", "FINGERPRINT"]
    assert lines[1].split() == ["KEY", "secret://demo/x", "1", "5", "fedcba"]
    assert "runtime hook   active" in lines
    assert "fake-value" not in done.stdout + done.stderr
    assert sidecar.requests == ["check"]
    assert len(lines) < 24


def test_help_names_every_command(programs):
    told = command(programs, "--help").stdout
    assert "exec" in told
    assert "check" in told
