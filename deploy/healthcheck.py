"""Whether the proxy in this container answers: exit status 0 or 1. Standard library alone.

``/health`` answers 200 as long as requests are served, with the database away, too: a container
is not to be replaced for that.
"""

import os
import sys
import urllib.error
import urllib.request

SECONDS = 4


def main() -> int:
    port = os.environ.get("TOKENWATCH_PROXY_PORT", "").strip() or "8877"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as exc:
        sys.stderr.write(f"/health: {exc}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
