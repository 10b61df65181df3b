"""Settings of the test run: nothing of the developer's own environment reaches it."""

import os
import tempfile

for name in [name for name in os.environ if name.startswith("TOKENWATCH_")]:
    if not name.startswith("TOKENWATCH_TEST_"):
        del os.environ[name]
os.environ["TOKENWATCH_ENV_FILE"] = ""
os.environ["TOKENWATCH_DATA_DIR"] = tempfile.mkdtemp(prefix="tokenwatch-tests-")
os.environ["TOKENWATCH_SECRET_KEY"] = "only-for-tests"
for name in ("DSN", "USER", "PASSWORD"):
    if value := os.environ.get(f"TOKENWATCH_TEST_ORACLE_{name}"):
        os.environ[f"TOKENWATCH_ORACLE_{name}"] = value
if url := os.environ.get("TOKENWATCH_TEST_DATABASE_URL"):
    os.environ["TOKENWATCH_DATABASE_URL"] = url

from tokenwatch.settings import *  # noqa: E402, F403

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # On disk: the threads of an in-memory database fail at once where they should wait.
    DATABASES["default"]["TEST"] = {  # noqa: F405
        "NAME": os.path.join(os.environ["TOKENWATCH_DATA_DIR"], "test.sqlite3")
    }
elif DATABASES["default"]["ENGINE"].endswith("oracle"):  # noqa: F405
    # The user's own schema is the test database: it should have nothing else in it. Django would
    # make a tablespace and a user, as a user that may do so; and its pool, which belongs to the
    # process, would go on connecting as that one.
    DATABASES["default"]["TEST"] = {  # noqa: F405
        "CREATE_DB": False,
        "CREATE_USER": False,
        "USER": DATABASES["default"]["USER"],  # noqa: F405
        "PASSWORD": DATABASES["default"]["PASSWORD"],  # noqa: F405
    }
