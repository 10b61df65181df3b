"""Stored prompts with their answers, and the runs that replay them to another model.

Texts stand in tables of their own: pages and sums over prompts and results never read them,
and on Oracle a row with a big text can be neither sorted nor grouped.
"""

from django.db import models

NAME_LENGTH = 200


class StoredPrompt(models.Model):
    """One request that was kept, as the ledger knows it. Written by ``experiments.prompts``."""

    request_id = models.CharField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    api_type = models.CharField(max_length=20)
    endpoint = models.CharField(max_length=NAME_LENGTH)
    kind = models.CharField(max_length=20, blank=True)
    model = models.CharField(max_length=NAME_LENGTH, blank=True)
    model_used = models.CharField(max_length=NAME_LENGTH, blank=True)
    app = models.CharField(max_length=NAME_LENGTH, blank=True)
    tag = models.CharField(max_length=NAME_LENGTH, blank=True)
    session_id = models.CharField(max_length=NAME_LENGTH, blank=True)
    status_code = models.PositiveSmallIntegerField()
    stream = models.BooleanField(default=False)
    redacted = models.BooleanField(default=True, help_text="Was looked through for secrets.")
    redactions = models.CharField(
        max_length=300, blank=True, help_text="What was taken out, by kind."
    )
    media = models.PositiveIntegerField(
        default=0, help_text="Images, audio and files that are kept as their hash only."
    )
    api_headers = models.CharField(
        max_length=500, blank=True, help_text="Headers that change what the request means, as JSON."
    )
    request_whole = models.BooleanField(default=True)
    response_whole = models.BooleanField(default=True)

    class Meta:
        db_table = "tw_prompt"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["created_at"], name="tw_prompt_created"),
            models.Index(fields=["model", "created_at"], name="tw_prompt_model"),
        ]

    def __str__(self) -> str:
        return self.request_id


class PromptText(models.Model):
    """The bodies of a stored prompt: JSON as it was sent, unless something was taken out."""

    prompt = models.OneToOneField(
        StoredPrompt, on_delete=models.CASCADE, primary_key=True, related_name="text"
    )
    request_body = models.TextField(blank=True)
    response_body = models.TextField(blank=True)

    class Meta:
        db_table = "tw_prompt_text"

    def __str__(self) -> str:
        return str(self.prompt_id)


class RunState(models.TextChoices):
    """Where a run is. Any run that is not finished can be resumed."""

    READY = "ready", "Ready"
    RUNNING = "running", "Running"
    INTERRUPTED = "interrupted", "Interrupted"
    FINISHED = "finished", "Finished"


class ReplayRun(models.Model):
    """Stored prompts of one model, sent once more to another."""

    key = models.CharField(max_length=16, unique=True, help_text="Begins its sessions' names.")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=RunState.choices, default=RunState.READY)
    note = models.CharField(max_length=500, blank=True, help_text="Why it stopped, if it did.")
    source_model = models.CharField(max_length=NAME_LENGTH)
    target_model = models.CharField(max_length=NAME_LENGTH)
    judge_model = models.CharField(max_length=NAME_LENGTH, blank=True)
    url = models.CharField(max_length=500)
    selection = models.CharField(max_length=1000, blank=True, help_text="Which prompts, as JSON.")
    prompts = models.PositiveIntegerField(default=0)
    left_out = models.PositiveIntegerField(default=0)
    # Which process works at it, and its last sign of life.
    runner = models.CharField(max_length=32, blank=True)
    alive_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "tw_replay_run"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.source_model} to {self.target_model}"


class ResultState(models.TextChoices):
    """A prompt of a run. From ``sending`` on it is never sent again without a look into the
    ledger."""

    PENDING = "pending", "Pending"
    SENDING = "sending", "Sending"
    DONE = "done", "Done"


class ReplayResult(models.Model):
    """What became of one prompt in a run."""

    run = models.ForeignKey(ReplayRun, on_delete=models.CASCADE, related_name="results")
    request_id = models.CharField(max_length=32)
    state = models.CharField(
        max_length=20, choices=ResultState.choices, default=ResultState.PENDING
    )
    replay_id = models.CharField(max_length=32, blank=True)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    original_cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    original_input = models.BigIntegerField(null=True, blank=True)
    original_output = models.BigIntegerField(null=True, blank=True)
    original_latency_ms = models.BigIntegerField(null=True, blank=True)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    input_tokens = models.BigIntegerField(null=True, blank=True)
    output_tokens = models.BigIntegerField(null=True, blank=True)
    latency_ms = models.BigIntegerField(null=True, blank=True)
    similarity = models.FloatField(null=True, blank=True)
    text_ratio = models.FloatField(null=True, blank=True)
    json_equal = models.BooleanField(null=True, blank=True)
    json_valid = models.BooleanField(null=True, blank=True)
    tools_equal = models.BooleanField(null=True, blank=True)
    verdict = models.CharField(max_length=20, blank=True)
    judge_score = models.FloatField(null=True, blank=True)
    judge_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "tw_replay_result"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "request_id"], name="tw_replay_once")]
        indexes = [models.Index(fields=["run", "state"], name="tw_replay_state")]

    def __str__(self) -> str:
        return self.request_id


class ReplayAnswer(models.Model):
    """The text of a replayed answer; goes with the retention of prompts."""

    result = models.OneToOneField(
        ReplayResult, on_delete=models.CASCADE, primary_key=True, related_name="answer"
    )
    created_at = models.DateTimeField()
    body = models.TextField(blank=True)

    class Meta:
        db_table = "tw_replay_answer"
        indexes = [models.Index(fields=["created_at"], name="tw_replay_answered")]

    def __str__(self) -> str:
        return str(self.result_id)
