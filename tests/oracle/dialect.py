"""Whether a statement is Oracle SQL, as far as a parser can tell. Pure.

sqlglot parses most of what Django's Oracle backend writes; the few forms that it does not
know are rewritten first, and all the rest is parsed as it stands. What it gives up on (it
would keep the text as an opaque command) is an error, and so is what it takes from any dialect.
"""

import logging
import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_REWRITES = (
    # Oracle's MODIFY, as the clause of the same meaning that sqlglot knows
    (r'^(ALTER TABLE "\w+") MODIFY ("\w+") (.+)$', r"\1 ALTER COLUMN \2 TYPE \3"),
    # LIKE in the national character set, and its one-character escape
    (r"TRANSLATE\(\s*(\S+?)\s+USING NCHAR_CS\)", r"\1"),
    (r"ESCAPE '\\'", "ESCAPE '!'"),
    # AI Vector Search: the column's type, the approximate search, the model as a function
    (r"\bVECTOR\(\s*\d+\s*,\s*FLOAT32\s*\)", "BLOB"),
    (
        r"FETCH APPROX FIRST (\d+) ROWS ONLY WITH TARGET ACCURACY \d+",
        r"FETCH FIRST \1 ROWS ONLY",
    ),
    (r"VECTOR_EMBEDDING\([\w.$#]+ USING (:\w+) AS data\)", r"VECTOR_EMBEDDING(\1)"),
    (
        r"^CREATE VECTOR INDEX (\w+ ON \w+ \(\w+\)) ORGANIZATION"
        r" (?:INMEMORY NEIGHBOR GRAPH|NEIGHBOR PARTITIONS)"
        r" DISTANCE COSINE WITH TARGET ACCURACY \d+$",
        r"CREATE INDEX \1",
    ),
)
_COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in _REWRITES]

# Not SQL to be parsed, and the same in each connection: the session's own settings.
_SESSION = re.compile(r"^(ALTER SESSION SET |SET CONSTRAINTS |SAVEPOINT |ROLLBACK TO SAVEPOINT )")

_STATEMENTS = (
    exp.Query,
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Create,
    exp.Alter,
    exp.Drop,
)
MAX_IN_LIST = 1000
"""More values in one list are ORA-01795 before 23ai."""
_TEXT = re.compile(r"'(?:[^']|'')*'")
_TABLE_AS = re.compile(r"\b(?:FROM|JOIN|UPDATE) +\"?\w+\"? +AS\b", re.IGNORECASE)
_CAST = re.compile(r"::")


def rewritten(sql: str) -> str:
    """The statement without what sqlglot cannot parse."""
    sql = sql.strip().rstrip("/").rstrip(";")
    for pattern, replacement in _COMPILED:
        sql = pattern.sub(replacement, sql)
    return sql


def problem(sql: str) -> str:
    """Why the statement is not Oracle SQL; empty where nothing is wrong with it."""
    if _SESSION.match(sql.strip()):
        return ""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what is reported here
    try:
        parsed = sqlglot.parse(rewritten(sql), dialect="oracle")
    except SqlglotError as exc:
        return str(exc).partition("\n")[0]
    if len(parsed) != 1 or parsed[0] is None:
        return "not one statement"
    if not isinstance(parsed[0], _STATEMENTS) or parsed[0].find(exp.Command):
        return "not understood"
    return _foreign(sql, parsed[0])


def _foreign(sql: str, tree: exp.Expr) -> str:
    """What sqlglot reads in any dialect although Oracle does not know it."""
    bare = _TEXT.sub("''", sql)
    found = {
        "LIMIT": tree.find(exp.Limit),
        "ON CONFLICT": tree.find(exp.OnConflict),
        "INSERT OR …": isinstance(tree, exp.Insert) and tree.args.get("alternative"),
        "RETURNING without INTO": tree.find(exp.Returning) and " INTO :" not in bare,
        "ILIKE": tree.find(exp.ILike),
        "AS before a table's alias": _TABLE_AS.search(bare),
        "a cast with ::": _CAST.search(bare),
        f"more than {MAX_IN_LIST} values in a list": any(
            len(node.expressions) > MAX_IN_LIST for node in tree.find_all(exp.In)
        ),
    }
    return ", ".join(name for name, there in found.items() if there)
