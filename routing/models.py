"""What operators write down of where requests go and what they are called."""

from django.core.exceptions import ValidationError
from django.db import models

from routing.patterns import PatternError, check
from routing.tags import APP_CONTAINS, APP_IS, REGEX


class TagKind(models.TextChoices):
    """What a tag rule looks at."""

    APP = APP_IS, "The app is"
    APP_CONTAINS = APP_CONTAINS, "The app's name contains"
    REGEX = REGEX, "The last user message matches the regular expression"


class TagRule(models.Model):
    """Gives requests their tag where the client sent none."""

    name = models.CharField(max_length=100, unique=True)
    priority = models.IntegerField(default=100, help_text="The lowest number is tried first.")
    kind = models.CharField("when", max_length=20, choices=TagKind.choices, default=TagKind.APP)
    pattern = models.CharField(
        max_length=1000,
        help_text="An app's name, or a regular expression (RE2): (?i)refund|money back",
    )
    tag = models.CharField(max_length=200, help_text="The tag that such requests get.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "tw_tag_rule"
        ordering = ["priority", "id"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what could never match or never be seen.

        Raises:
            ValidationError: by field.
        """
        found = {}
        if not (self.tag or "").strip() or not self.tag.isprintable():
            found["tag"] = "Give the tag that such requests get, in printable characters."
        if self.kind == REGEX:
            try:
                check(self.pattern)
            except PatternError as exc:
                found["pattern"] = str(exc)
        elif not (self.pattern or "").strip():
            found["pattern"] = "Give the app's name."
        if found:
            raise ValidationError(found)
        self.tag = self.tag.strip()
