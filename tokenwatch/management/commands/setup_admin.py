"""`manage.py setup_admin`: the first admin user, with a password that is shown once.

Says nothing where an admin user exists. The password is random and only its hash is kept:
one that was not noted is replaced with ``changepassword admin``.
"""

import secrets
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from tokenwatch.commands import TokenWatchCommand
from tokenwatch.conf import config
from tokenwatch.running import base_url

USERNAME = "admin"
PASSWORD_BYTES = 12  # 16 characters, 96 bits


class Command(TokenWatchCommand):
    help = "Create the first admin user and print its password, if there is none yet."

    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.filter(is_superuser=True).exists():
            return
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        if not create(password):
            self.stderr.write(
                f"A user named {USERNAME} exists and is no superuser: make one with the "
                "createsuperuser command."
            )
            return
        self.stdout.write(
            f"Admin user  {USERNAME}\n"
            f"Password    {password}   (shown this once; the changepassword command sets another)\n"
            f"Log in at   {base_url(config.host, config.dashboard_port)}/admin/"
        )


def create(password: str) -> bool:
    """Make the user; False where the name is taken."""
    try:
        with transaction.atomic():
            User.objects.create_superuser(USERNAME, "", password)
    except IntegrityError:
        return False
    return True
