"""A secret in each place, on purpose, each written in another way."""

from __future__ import annotations

import base64
import gzip
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from airflow.providers.http.triggers.http import HttpTrigger
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import BaseOperator, Variable, dag, task
from leaking import canary, plain


class Deferring(BaseOperator):
    """Wait with secrets in what is stored for that time."""

    def execute(self, context):
        trigger = HttpTrigger(http_conn_id="nowhere", headers={"X-Leak": canary("metadata trigger")})
        self.defer(trigger=trigger, method_name="go_on", kwargs={"leak": canary("metadata waiting")})

    def go_on(self, context, event=None, leak=None):
        pass


@dag(schedule="@once")
def leaky():
    Deferring(task_id="defer")
    BashOperator(task_id="source_code", bash_command=f"true {plain('lineage')}")
    BashOperator(task_id="rendered", bash_command="true", env={"RENDERED": canary("metadata rendered").encode().hex()})

    @task
    def write_down():
        print(base64.b64encode(b"a" + canary("logs").encode()).decode())
        Path(os.environ["AIRFLOW_HOME"], "leak.gz").write_bytes(gzip.compress(canary("home").encode()))
        for folder, content in (
            (tempfile.gettempdir(), canary("tmp").encode("utf-16-le")),
            ("/dev/shm", quote(canary("shm"), safe="").encode()),
        ):
            descriptor, _ = tempfile.mkstemp(prefix="airflow-ephemeral-leak-", dir=folder)
            os.write(descriptor, content)
        Variable.set("LEAK", base64.b64encode(b"ab" + canary("metadata variable").encode()).decode())
        return {"leak": canary("metadata xcom")}

    @task
    def start():
        basic = base64.b64encode(f"user:{canary('cmdline')}".encode()).decode()
        sleep = [sys.executable, "-c", "import time; time.sleep(2)", basic]
        subprocess.run(sleep, env={"LEAK": canary("environ")}, check=True)

    @task
    def count():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
            statsd.sendto(f"airflow.{plain('statsd')}:1|c".encode(), ("127.0.0.1", int(os.environ["STATSD_PORT"])))

    write_down()
    start()
    count()


leaky()
