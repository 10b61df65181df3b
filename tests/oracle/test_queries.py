"""On Oracle, every query of the hot path, the statistics, the commands and the admin is right."""

from typing import Any

from tests.oracle.dialect import problem

Report = dict[str, Any]


def executed(queries: Report, step: str, beginning: str = "") -> list[dict[str, Any]]:
    return [call for call in queries["steps"][step] if call["sql"].startswith(beginning)]


def test_every_query_is_oracle_sql(queries: Report) -> None:
    statements = [(step, call["sql"]) for step, calls in queries["steps"].items() for call in calls]
    assert len(statements) > 60
    wrong = [(step, what, sql) for step, sql in statements if (what := problem(sql))]
    assert wrong == []


def test_every_step_asks_the_database_something(queries: Report) -> None:
    silent = {step for step, calls in queries["steps"].items() if not calls}
    assert silent == {"probe the database"}  # a ping of the connection


def test_a_batch_of_rows_is_one_insert(queries: Report) -> None:
    inserts = executed(queries, "insert a full batch", 'INSERT INTO "TW_USAGE" ')
    assert [(call["many"], len(call["rows"])) for call in inserts] == [(True, 500)]


def test_a_row_is_bound_with_exact_money_and_utc_time(queries: Report) -> None:
    (insert,) = executed(queries, "insert rows", 'INSERT INTO "TW_USAGE" ')
    unpriced, priced, _ = insert["rows"]
    assert "Decimal('0.0000270000')" in priced
    assert "Oracle_datetime(2026, 11, 23, 12, 1, 30)" in priced
    assert None in unpriced
    assert "0.0000270000" not in priced


def test_rollups_that_exist_are_added_to_and_not_inserted(queries: Report) -> None:
    step = "insert rows into known rollups"
    (update,) = executed(queries, step, 'UPDATE "TW_USAGE_ROLLUP"')
    assert update["many"]
    assert '"COST" = ROUND("COST" + :arg' in update["sql"]
    assert executed(queries, step, 'INSERT INTO "TW_USAGE_ROLLUP"') == []


def test_new_rollups_are_inserted_and_nothing_is_updated(queries: Report) -> None:
    assert executed(queries, "insert rows", 'INSERT INTO "TW_USAGE_ROLLUP"')
    assert executed(queries, "insert rows", "UPDATE") == []


def test_statistics_never_read_the_rows(queries: Report) -> None:
    steps = [step for step in queries["steps"] if step.startswith("statistics of")]
    assert steps
    for step in steps:
        for call in executed(queries, step):
            assert '"TW_USAGE"' not in call["sql"]


def test_a_changed_upstream_changes_the_policy_version(queries: Report) -> None:
    changes = [
        call["sql"].split()[0] + " " + call["sql"].split('"')[1]
        for call in executed(queries, "save an upstream")
    ]
    bump = "UPDATE TW_POLICY_VERSION"
    assert changes == [
        "INSERT TW_UPSTREAM",
        bump,
        "UPDATE TW_UPSTREAM",
        bump,
        "DELETE TW_UPSTREAM",
        bump,
    ]


def test_vectors_are_bound_as_vectors(queries: Report) -> None:
    """The recorder refuses an array that is bound as anything else."""
    for step in ("add a vector", "add vectors", "find the nearest", "save a vector by its model"):
        bound = [call for call in executed(queries, step) if "array('f'" in str(call["rows"])]
        assert bound, step
        for call in bound:
            assert "DB_TYPE_VECTOR" in call["sizes"].values(), step


def test_vectors_are_added_with_one_insert(queries: Report) -> None:
    inserts = executed(queries, "add vectors", "INSERT INTO tw_cache_vector")
    assert [(call["many"], len(call["rows"])) for call in inserts] == [(True, 3)]


def test_the_nearest_are_found_within_partition_embedder_and_time(queries: Report) -> None:
    (query,) = executed(queries, "find the nearest")
    assert query["sql"] == (
        "SELECT entry_id, prompt, VECTOR_DISTANCE(embedding, :arg0, COSINE) AS distance"
        " FROM tw_cache_vector"
        " WHERE partition_key = :arg1 AND embedder = :arg2 AND expires_at > :arg3"
        " ORDER BY distance FETCH APPROX FIRST 5 ROWS ONLY WITH TARGET ACCURACY 95"
    )


def test_a_text_is_embedded_by_the_model_that_is_set(queries: Report) -> None:
    (query,) = executed(queries, "embed in the database")
    assert query["sql"] == "SELECT VECTOR_EMBEDDING(ML.MINILM_V2 USING :arg0 AS data) FROM dual"


def test_a_search_for_a_wildcard_looks_for_the_sign_itself(queries: Report) -> None:
    searches = [c for c in executed(queries, "requests searched") if "LIKE" in c["sql"]]
    assert searches
    assert all("%50\\%\\_\\\\%" in call["rows"][0].values() for call in searches)


def test_an_ab_tests_rows_are_found_by_its_name_and_not_by_empty_texts(queries: Report) -> None:
    rows, *_ = executed(queries, "report of an A/B test")
    assert '"AB_TEST" = :arg' in rows["sql"]
    assert '"CACHE_TIER" IS NULL' in rows["sql"]
    assert '"ROUTING_RULE" IS NULL' in rows["sql"]
    assert "FETCH FIRST 200001 ROWS ONLY" in rows["sql"]
