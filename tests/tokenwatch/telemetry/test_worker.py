"""A worker as it is started: with telemetry off not a module of it, with it on both halves."""

import os
import subprocess
import sys

import httpx
import pytest

from demo.instance import Instance
from tests.tokenwatch.telemetry.collector import collector, plain
from tokenwatch.conf import BASE_DIR
from tokenwatch.telemetry import export

LOADED = """
import asyncio, sys
from tokenwatch.asgi import services
from dashboard.metrics import show_metrics

async def serve():
    started = await services.get()
    assert started.telemetry is None
    await services.stop()

asyncio.run(serve())
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "grpc")))
"""


def test_while_it_is_off_a_worker_loads_nothing_of_it(tmp_path):
    environment = {
        **os.environ,
        "TOKENWATCH_DATA_DIR": str(tmp_path),
        "TOKENWATCH_OTEL_ENABLED": "false",
        "DJANGO_SETTINGS_MODULE": "tokenwatch.settings",
        "PYTHONPATH": str(BASE_DIR),
    }
    done = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_both_halves_of_a_worker_are_told(tmp_path):
    with collector() as received:
        settings = {"OTEL_ENABLED": "true", "OTEL_ENDPOINT": received.endpoint}
        instance = Instance(
            tmp_path, "http://127.0.0.1:9", settings=settings, stdout=subprocess.DEVNULL
        )
        instance.manage("migrate", "--verbosity", "0")
        with instance:
            port = instance.run.dashboard_port
            trace = "0af7651916cd43dd8448eb211c80319c"
            page = httpx.get(
                f"http://127.0.0.1:{port}/admin/login/",
                headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
            )
            assert page.status_code == 200
            assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
            url = f"{instance.run.proxy_url}/openai/v1/chat/completions"
            assert httpx.post(url, json={"model": "m", "messages": []}).status_code == 502
        # It has stopped: whatever it had to say has been said.
    (page_span,) = [
        span
        for span in received.spans
        if "http.route" in plain(span.attributes)
        and "admin" in plain(span.attributes)["http.route"]
    ]
    assert page_span.trace_id.hex() == trace
    assert plain(page_span.attributes)["http.response.status_code"] == 200
    names = sorted(span.name for span in received.spans if span is not page_span)
    assert names == ["POST /openai/v1/chat/completions", "chat m"]
    ((attributes, number),) = received.points("tokenwatch.requests")
    assert (attributes["http.response.status_code"], number) == (502, 1)


def test_the_collectors_absence_is_said_once_a_minute(caplog):
    moments = [1000.0, 1001.0, 1059.0, 1060.0, 1061.0]
    complaints = export.Complaints("http://collector:4317", iter(moments).__next__)
    for _ in moments:
        complaints.failed(10)
    complaints.worked()
    complaints.worked()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "(10 lost)" in said[0]
    assert "(30 lost)" in said[1]
    assert "again" in said[2]
