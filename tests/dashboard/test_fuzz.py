"""The API, fuzzed from its own OpenAPI: no error of ours, and answers as it says."""

import time

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from dashboard import tokens
from dashboard.api import api
from dashboard.models import ApiToken
from tests.usage.samples import usage_row
from usage.writer import insert

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
schema = schemathesis.openapi.from_dict(api.get_openapi_schema())
schema.app = WSGIHandler()


@pytest.fixture
def headers():
    for signal in (request_started, request_finished):  # as Django's own test client does
        signal.disconnect(close_old_connections)
    key = tokens.new_key()
    User.objects.create_user("someone")
    ApiToken.objects.create(
        name="fuzz", digest=tokens.digest(key), hint=tokens.hint(key), scope="write"
    )
    insert([usage_row(created_at=time.time() - 60 * n) for n in range(30)], check=False)
    yield {"Authorization": f"Bearer {key}"}
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@schema.parametrize()
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_operation(case, headers):
    answer = case.call(headers=headers)
    case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
