#!/usr/bin/env python
"""Django's command line for TokenWatch."""

import sys

from tokenwatch import cli

if __name__ == "__main__":
    sys.exit(cli.run(sys.argv[1:], prog="manage.py"))
