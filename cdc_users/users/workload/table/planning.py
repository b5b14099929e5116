"""From a table's catalog to its plan, or to every reason against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from cdc_users.users.workload.table.check import Demand, demands
from cdc_users.users.workload.table.kind import UnknownTypeError, bounded, value_plan
from cdc_users.users.workload.table.plan import ColumnPlan, ReferencePlan, TablePlan
from cdc_users.users.workload.table.value import can_be_distinct
from infra.postgres.catalog import CatalogColumn, CatalogReference, CatalogTable
from infra.stack.debezium.loss import hides_null, loss_notes

#: The column types that can hold the probe.
TEXTS = ("text", "character varying", "citext")
PROBE_LENGTH = 80
#: Makers of values that keep to bounds of a number.
NUMBERS = ("integer", "numeric", "float")
REMEDY = (
    "say how rows are made by a subclass of PostgresUser with `table` and `row(self, key, random)`"
)


@dataclass(frozen=True, slots=True)
class TableWish:
    """The wishes for a table.

    `rows` has, by foreign key's name, the rows that may be referred to, as texts. With `custom` the
    user's own code makes rows, so a type that we cannot make is no mistake. `changes` are the
    operations of the mix other than insert. `by_debezium`: Debezium reads the table.
    """

    probe: str
    head: str
    key_base: int
    rows: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    custom: bool = False
    changes: frozenset[str] = frozenset()
    seed: int = 1
    by_debezium: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and every mistake that prevents its use, each with the remedy."""

    plan: TablePlan
    mistakes: tuple[str, ...]


def plan_table(found: CatalogTable, wish: TableWish) -> Planned:
    """Plan the rows of this table."""
    return _Planning(found, wish).run()


class _Planning:
    """The planning of one table."""

    def __init__(self, found: CatalogTable, wish: TableWish) -> None:
        self._found, self._wish = found, wish
        self._mistakes: list[str] = []
        self._columns: dict[str, ColumnPlan] = {}
        self._catalog = {column.name: column for column in found.columns}

    def run(self) -> Planned:
        self._check_probe()
        for column in self._found.columns:
            if column.name != self._wish.probe and not column.generated:
                self._plan_column(column)
        self._apply_checks()
        references = self._references()
        self._make_key_distinct()
        for names in self._found.uniques:
            self._make_unique(names)
        self._check_replica_identity()
        return Planned(self._table(references), tuple(self._mistakes))

    def _table(self, references: Sequence[ReferencePlan]) -> TablePlan:
        found, wish = self._found, self._wish
        return TablePlan(
            schema=found.table.schema,
            name=found.table.name,
            columns=tuple(self._columns.values()),
            key=found.key,
            probe=wish.probe,
            head=wish.head,
            key_base=wish.key_base,
            seed=wish.seed,
            references=tuple(references),
            overriding=any(self._catalog[name].identity == "always" for name in found.key),
            unaudited=self._unaudited(),
        )

    def _refuse(self, text: str) -> None:
        self._mistakes.append(f"table {self._found.name}: {text}")

    def _check_probe(self) -> None:
        name = self._wish.probe
        column = self._catalog.get(name)
        texts = [
            c.name for c in self._found.columns if _holds_probe(c) and c.name not in self._keys
        ]
        if column is None:
            some = (
                f"name one of its text columns ({', '.join(texts)}) by --probe-column, or "
                * bool(texts)
            )
            self._refuse(
                f"it has no column {name!r} for the probe; {some}let --add-probe yes add it"
            )
        elif not _holds_probe(column) or name in self._keys:
            self._refuse(
                f"column {name!r} cannot hold the probe: a text column of {PROBE_LENGTH}"
                " characters, outside of keys, is needed"
            )

    @property
    def _keys(self) -> set[str]:
        return {name for names in (self._found.key, *self._found.uniques) for name in names}

    def _plan_column(self, column: CatalogColumn) -> None:
        in_key = column.name in self._found.key
        if column.identity and not in_key:
            return
        if column.default.startswith("nextval(") and not in_key:
            return
        try:
            value = value_plan(column.type)
        except UnknownTypeError:
            if in_key or (column.required and not column.default and not self._wish.custom):
                self._refuse(
                    f"values of column {column.name} ({column.declared}) cannot be made; {REMEDY}"
                )
            return
        # A NULL that arrives as the default would be blamed on the pipeline (loss_notes).
        hidden = self._wish.by_debezium and hides_null(column)
        self._columns[column.name] = ColumnPlan(
            name=column.name,
            value=value,
            nullable=not column.required and not hidden,
            fixed=in_key,
        )

    def _apply_checks(self) -> None:
        for text, _ in self._found.checks:
            self._apply(text, None)
        for column in self._found.columns:
            for text in column.type.checks:
                self._apply(text, column.name)
        if self._wish.custom:
            return
        for text in self._found.exclusions:
            self._refuse(f"{text} cannot be met by rows that are made here; {REMEDY}")

    def _apply(self, text: str, domain_column: str | None) -> None:
        asked = demands(text)
        for name, demand in asked or ():
            asked = asked if self._demand(domain_column or name, demand) else None
        if asked is None and not self._wish.custom:
            where = f" (column {domain_column})" if domain_column else ""
            self._refuse(f"{text}{where} cannot be met by rows that are made here; {REMEDY}")

    def _demand(self, name: str, demand: Demand) -> bool:
        """Apply a demand to a column's plan; returns whether that is possible."""
        column = self._columns.get(name)
        if column is None:
            return name == self._wish.probe and demand.labels == ()
        value = column.value
        if demand.labels:
            if value.maker not in ("text", "integer", "char") or value.labels:
                return False
            value = replace(value, labels=demand.labels, maker="text")
        elif value.maker not in (("text",) if demand.of_length else NUMBERS):
            if not demand.required:
                return False
        else:
            value = bounded(value, demand)
            if value.low is not None and value.high is not None and value.low > value.high:
                return False
        nullable = column.nullable and not demand.required
        self._columns[name] = replace(column, value=value, nullable=nullable)
        return True

    def _references(self) -> list[ReferencePlan]:
        made = []
        for reference in self._found.references:
            rows = tuple(self._wish.rows.get(reference.name, ()))
            if rows:
                made.append(ReferencePlan(columns=reference.columns, rows=rows))
                self._fix(reference.columns, required=True)
            else:
                self._without_rows(reference)
        return made

    def _without_rows(self, reference: CatalogReference) -> None:
        """No row can be referred to: use NULL, if the columns allow it."""
        columns = [self._columns[name] for name in reference.columns if name in self._columns]
        optional = [column.name for column in columns if column.nullable]
        if optional:
            self._columns.pop(optional[0])
        elif columns and not self._wish.custom:
            place = f"{reference.table.schema}.{reference.table.name}"
            self._refuse(
                f"{', '.join(reference.columns)} refers to {place}, which has no row yet; write"
                f" some there, or name it in --table before {self._found.name}"
            )

    def _fix(self, names: Sequence[str], *, required: bool = False) -> None:
        for name in names:
            if (column := self._columns.get(name)) is not None:
                nullable = column.nullable and not required
                self._columns[name] = replace(column, fixed=True, nullable=nullable)

    def _make_key_distinct(self) -> None:
        key = self._found.key
        if not key:
            self._refuse("it has no primary key to find rows by; give it one")
            return
        if all(name in self._columns for name in key) and not self._distinct(key):
            columns = ", ".join(f"{name} {self._catalog[name].declared}" for name in key)
            self._refuse(
                f"its primary key ({columns}) has no room for keys of the run's own; a bigint, uuid"
                " or text of 18 characters that refers to nothing is needed in it"
            )

    def _make_unique(self, names: Sequence[str]) -> None:
        there = [name for name in names if name in self._columns]
        self._fix(there)
        if not there or any(self._columns[name].distinct for name in there):
            return
        if self._distinct(there):
            return
        optional = [name for name in there if not self._catalog[name].required]
        if optional and len(optional) == len(names):
            self._columns.pop(optional[0])
        elif not self._wish.custom:
            self._refuse(
                f"UNIQUE ({', '.join(names)}) cannot be kept by values made here; {REMEDY}"
            )

    def _distinct(self, names: Sequence[str]) -> bool:
        """Make one of these columns contain the key; returns whether that is possible."""
        referring = {name for one in self._found.references for name in one.columns}
        for name in names:
            column = self._columns[name]
            if name not in referring and can_be_distinct(column.value):
                self._columns[name] = replace(column, distinct=True, fixed=True, nullable=False)
                return True
        return False

    def _check_replica_identity(self) -> None:
        wish, identity = self._wish, self._found.replica_identity
        if not wish.changes:
            return
        if identity == "nothing":
            self._refuse(
                "REPLICA IDENTITY NOTHING lets PostgreSQL refuse its updates and deletes; run"
                f" `ALTER TABLE {self._found.name} REPLICA IDENTITY DEFAULT`, or leave them out of"
                " --mix"
            )
        elif identity == "index" and "delete" in wish.changes and self._other_identity:
            self._refuse(
                "its REPLICA IDENTITY is an index without the primary key, so a delete does not say"
                " which row; leave deletes out of --mix"
            )

    @property
    def _other_identity(self) -> bool:
        return set(self._found.identity_columns) != set(self._found.key)

    def _unaudited(self) -> tuple[str, ...]:
        found, name = [], self._found.name
        if "delete" in self._wish.changes and self._found.replica_identity != "full":
            found.append(
                f"{name}: REPLICA IDENTITY {self._found.replica_identity.upper()} sends a delete's"
                " key alone: which write it removes follows from the row's last change, so a delete"
                " after a lost change is not counted"
            )
        opaque = [c.name for c in self._columns.values() if not c.value.kind]
        left = [
            column.name
            for column in self._found.columns
            if column.name not in self._columns and column.name != self._wish.probe
        ]
        if opaque:
            found.append(f"{name}: values of {', '.join(opaque)} are written and not compared")
        if left:
            found.append(f"{name}: {', '.join(left)} left to PostgreSQL, and not compared")
        if self._wish.by_debezium:
            found += loss_notes(name, self._found.columns)
        return tuple(found)


def _holds_probe(column: CatalogColumn) -> bool:
    kind = column.type
    length = next(iter(kind.modifiers), PROBE_LENGTH)
    fits = kind.name in TEXTS and not kind.labels and length >= PROBE_LENGTH
    return fits and not column.generated
