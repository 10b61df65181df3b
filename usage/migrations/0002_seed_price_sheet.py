"""The first rows of the price sheet: US dollars per million input and output tokens."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import migrations

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)

ROWS = [
    ("claude-opus-4-6", "15.00", "75.00"),
    ("claude-sonnet-4-5", "3.00", "15.00"),
    ("claude-haiku-4-5", "0.80", "4.00"),
    ("glm-4.7", "0.60", "0.60"),
    ("glm-4.7-flash", "0.06", "0.06"),
]


def seed(apps, schema_editor):
    ModelPrice = apps.get_model("usage", "ModelPrice")
    ModelPrice.objects.using(schema_editor.connection.alias).bulk_create(
        ModelPrice(
            pattern=pattern,
            input_per_mtok=Decimal(input_price),
            output_per_mtok=Decimal(output_price),
            valid_from=ALWAYS,
        )
        for pattern, input_price, output_price in ROWS
    )


def unseed(apps, schema_editor):
    """Take out the seeded rows; those that an operator added have a later beginning."""
    ModelPrice = apps.get_model("usage", "ModelPrice")
    ModelPrice.objects.using(schema_editor.connection.alias).filter(
        pattern__in=[pattern for pattern, *_ in ROWS], valid_from=ALWAYS
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]

    operations = [migrations.RunPython(seed, unseed)]
