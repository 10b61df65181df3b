"""The names that our models give to tables, columns, indexes and constraints.

Read from the models and not from the SQL: Django's backend cuts a name past 30 characters
and puts a hash at its end, so in the SQL none is too long.
"""

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Model

from tokenwatch.cli import OWN_APPS as LAYOUT

MAX_LENGTH = 30
OWN_APPS = [app for app in LAYOUT if apps.is_installed(app)]

_RESERVED_WORDS = """
    ACCESS ADD ALL ALTER AND ANY AS ASC AUDIT BETWEEN BY CHAR CHECK CLUSTER COLUMN COLUMN_VALUE
    COMMENT COMPRESS CONNECT CREATE CURRENT DATE DECIMAL DEFAULT DELETE DESC DISTINCT DROP ELSE
    EXCLUSIVE EXISTS FILE FLOAT FOR FROM GRANT GROUP HAVING IDENTIFIED IMMEDIATE IN INCREMENT
    INDEX INITIAL INSERT INTEGER INTERSECT INTO IS LEVEL LIKE LOCK LONG MAXEXTENTS MINUS MLSLABEL
    MODE MODIFY NESTED_TABLE_ID NOAUDIT NOCOMPRESS NOT NOWAIT NULL NUMBER OF OFFLINE ON ONLINE
    OPTION OR ORDER PCTFREE PRIOR PUBLIC RAW RENAME RESOURCE REVOKE ROW ROWID ROWNUM ROWS SELECT
    SESSION SET SHARE SIZE SMALLINT START SUCCESSFUL SYNONYM SYSDATE TABLE THEN TO TRIGGER UID
    UNION UNIQUE UPDATE USER VALIDATE VALUES VARCHAR VARCHAR2 VIEW WHENEVER WHERE WITH
"""
"""SQL Language Reference, appendix "Oracle SQL Reserved Words"."""
_PLSQL_TYPES = """
    BFILE BINARY_DOUBLE BINARY_FLOAT BINARY_INTEGER BLOB BOOLEAN CLOB CURSOR EXCEPTION INTERVAL
    NCHAR NCLOB NVARCHAR2 PLS_INTEGER REAL TIMESTAMP UROWID VECTOR
"""
"""A trigger or function over a column of such a name fails with ORA-06552."""
RESERVED = frozenset(_RESERVED_WORDS.split() + _PLSQL_TYPES.split())


def mangled(app: str) -> list[str]:
    """The names that Oracle's backend would cut."""
    return [name for model in models_of(app) for name in names(model) if len(name) > MAX_LENGTH]


def reserved_columns(app: str) -> list[str]:
    return [
        f"{model._meta.db_table}.{column}"
        for model in models_of(app)
        for column in columns(model)
        if column.upper() in RESERVED
    ]


def models_of(app: str) -> Iterator[type[Model]]:
    """An app's models, those that Django makes for many-to-many fields included."""
    return iter(apps.get_app_config(app).get_models(include_auto_created=True))


def columns(model: type[Model]) -> list[str]:
    return [field.column for field in model._meta.local_concrete_fields]


def names(model: type[Model]) -> Iterator[str]:
    yield model._meta.db_table
    yield from columns(model)
    yield from (index.name for index in model._meta.indexes)
    yield from (constraint.name for constraint in model._meta.constraints)
