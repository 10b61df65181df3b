"""Settings of the test run: nothing of the developer's own environment reaches it."""

import os
import tempfile

for name in [name for name in os.environ if name.startswith("TOKENWATCH_")]:
    if not name.startswith("TOKENWATCH_TEST_"):
        del os.environ[name]
os.environ["TOKENWATCH_ENV_FILE"] = ""
os.environ["TOKENWATCH_DATA_DIR"] = tempfile.mkdtemp(prefix="tokenwatch-tests-")
os.environ["TOKENWATCH_SECRET_KEY"] = "only-for-tests"
if url := os.environ.get("TOKENWATCH_TEST_DATABASE_URL"):
    os.environ["TOKENWATCH_DATABASE_URL"] = url

from tokenwatch.settings import *  # noqa: E402, F403

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # On disk: the threads of an in-memory database fail at once where they should wait.
    DATABASES["default"]["TEST"] = {  # noqa: F405
        "NAME": os.path.join(os.environ["TOKENWATCH_DATA_DIR"], "test.sqlite3")
    }
