"""What operators write down of where requests go and what they are called."""

from django.core.exceptions import ValidationError
from django.db import models

from routing import conditions
from routing.conditions import parse
from routing.patterns import PatternError, check
from routing.tags import APP_CONTAINS, APP_IS, REGEX
from routing.targets import parse_models, parse_split


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


class RoutingRule(models.Model):
    """Decides where the requests go that fulfil its conditions."""

    name = models.CharField(max_length=100, unique=True)
    priority = models.IntegerField(default=100, help_text="The lowest number is tried first.")
    enabled = models.BooleanField(default=True)
    model = models.CharField(
        "target model",
        max_length=200,
        blank=True,
        help_text="Asked for instead of the request's; empty leaves that.",
    )
    upstreams = models.CharField(
        max_length=1000,
        blank=True,
        help_text="By name, with weights where there are several: eu=70, us=30. "
        "Empty: the usual ones.",
    )
    fallbacks = models.CharField(
        "fallback models",
        max_length=1000,
        blank=True,
        help_text="Tried in this order where the model fails everywhere: gpt-4.1, gpt-4o-mini",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "tw_routing_rule"
        ordering = ["priority", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def when(self) -> str:
        """The conditions in a few words."""
        return " and ".join(str(one) for one in self.conditions.all()) or "every request"

    @property
    def goes_to(self) -> str:
        """The targets in a few words."""
        parts = [self.model] if self.model else []
        if self.upstreams:
            parts.append(f"at {self.upstreams}")
        if self.fallbacks:
            parts.append(f"else {self.fallbacks}")
        return ", ".join(parts)

    def clean(self) -> None:
        """Refuse what cannot be read, and a rule that would change nothing.

        Raises:
            ValidationError: by field.
        """
        self.model = (self.model or "").strip()
        found = {}
        for field, parse_target in (("upstreams", parse_split), ("fallbacks", parse_models)):
            try:
                parse_target(getattr(self, field) or "")
            except ValueError as exc:
                found[field] = str(exc)
        for field in ("name", "model"):  # both go into headers
            if not getattr(self, field).isprintable():
                found[field] = f"Give the {field} in printable characters."
        if not found and not (self.model or self.upstreams or self.fallbacks):
            found["model"] = "Give a model, an upstream or a fallback: where shall requests go?"
        if found:
            raise ValidationError(found)


class ConditionKind(models.TextChoices):
    """What a condition looks at."""

    MODEL = conditions.MODEL, "Model"
    APP = conditions.APP, "App"
    TAG = conditions.TAG, "Tag"
    SESSION = conditions.SESSION, "Session"
    REGEX = conditions.REGEX, "Last user message (regular expression)"
    HEADER = conditions.HEADER, "Header"
    TOKENS = conditions.TOKENS, "Estimated input tokens"
    COST = conditions.COST, "Cost today (UTC)"
    TIME = conditions.TIME, "Time of day"
    WEEKDAY = conditions.WEEKDAY, "Weekday"
    TOOLS = conditions.TOOLS, "Has tools"
    STREAM = conditions.STREAM, "Is streamed"


class RoutingCondition(models.Model):
    """One condition of a routing rule; all of a rule's must hold."""

    rule = models.ForeignKey(RoutingRule, on_delete=models.CASCADE, related_name="conditions")
    kind = models.CharField(max_length=20, choices=ConditionKind.choices)
    value = models.CharField(max_length=1000)

    class Meta:
        db_table = "tw_routing_condition"
        ordering = ["id"]
        verbose_name = "condition"

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"

    def clean(self) -> None:
        """
        Raises:
            ValidationError: the condition cannot be read.
        """
        if self.kind and self.value:  # else the fields say so themselves
            try:
                self.value = parse(self.kind, self.value).value
            except ValueError as exc:
                raise ValidationError({"value": str(exc)}) from None
