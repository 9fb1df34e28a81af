"""celery --app celery_app worker --pool prefork --concurrency 2

Broker and result backend come from the environment (``CELERY_BROKER_URL``, ``CELERY_RESULT_BACKEND``), the broker's folder
from ``BROKER_FOLDER`` where it is ``filesystem://``.
"""

import os

from celery import Celery
from crew import crew, describe

app = Celery("crew", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])
if folder := os.environ.get("BROKER_FOLDER"):
    app.conf.broker_transport_options = {
        "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder, "polling_interval": 0.05,
    }  # fmt: skip


@app.task(name="crew.run")
def run() -> str:
    """Run the crew."""
    crew.kickoff()
    return describe()
