"""python plain_loop.py

A worker without CrewAI: one ``with`` around the handling of a job gives it the secrets of that moment. A job that starts a
program gives them to that program only.
"""

import hashlib
import os
import subprocess
import sys

import wi_kickoff


def fingerprint(value: str) -> str:
    """Return what may be shown of a secret."""
    return hashlib.sha256(value.encode()).hexdigest()[:12]


for job in sys.stdin:
    if job.strip() == "program":
        # The worker itself keeps what it has.
        subprocess.run(
            ["printenv", "OPENAI_API_KEY"], env=wi_kickoff.environment(), stdout=subprocess.DEVNULL, check=True
        )
        print(os.getpid(), "program ran", flush=True)
        continue
    with wi_kickoff.kickoff():
        print(os.getpid(), f"fingerprint=sha256:{fingerprint(os.environ['OPENAI_API_KEY'])}", flush=True)
