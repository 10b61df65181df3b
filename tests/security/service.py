"""A real TokenWatch with client keys, and a provider behind it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.instance import BASE_DIR
from tests.faults.child import Child

CHAT = "/openai/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


class Service(Child):
    """`manage.py start`, and commands whose output is wanted."""

    def run_command(self, *arguments: str, said: str = "", ok: bool = True) -> str:
        done = subprocess.run(
            self._command(*arguments),
            cwd=BASE_DIR,
            env=self.environment,
            input=said,
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) is ok, done.stderr
        return done.stdout if ok else done.stderr

    def key(self, name: str, *options: str) -> str:
        made: dict[str, Any] = json.loads(
            self.run_command("key", "create", name, *options, "--json")
        )
        return str(made["key"])

    def upstream(self, name: str, api_type: str, url: str, credential: str) -> None:
        arguments = ("upstream", "add", name, "--api-type", api_type, "--base-url", url)
        self.run_command(*arguments, "--credential", said=f"{credential}\n")


@contextmanager
def prepared(directory: Path, url: str, **options: Any) -> Iterator[Service]:
    service = Service(directory, url, **options)
    service.migrate()
    yield service
