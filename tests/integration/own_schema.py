"""Tables as they are found in real databases: with everything that makes a row hard to guess."""

from __future__ import annotations

#: `orders` refers to a table that has rows, `items` to `orders`, which is written before.
NASTY = """
CREATE TYPE {s}.state AS ENUM ('new', 'paid', 'it''s gone');
CREATE DOMAIN {s}.amount AS numeric(12, 2) NOT NULL CHECK (VALUE >= 0);
CREATE DOMAIN {s}.code AS varchar(12) CHECK (char_length(VALUE) >= 3);
CREATE TABLE {s}.customers (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text);
INSERT INTO {s}.customers (name) VALUES ('a'), ('b');
CREATE TABLE {s}.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer uuid NOT NULL REFERENCES {s}.customers,
    number text NOT NULL UNIQUE,
    "Odd Name" varchar(40) NOT NULL DEFAULT 'x',
    state {s}.state NOT NULL,
    total {s}.amount,
    code {s}.code,
    discount numeric(4, 3) CHECK (discount > 0 AND discount < 1),
    rating smallint NOT NULL CHECK (rating BETWEEN 1 AND 5),
    channel text NOT NULL CHECK (channel IN ('web', 'shop')),
    weight real, exact double precision, flag boolean NOT NULL, raw bytea,
    day date NOT NULL, at timestamptz NOT NULL DEFAULT now(), local timestamp(3), clock time,
    zoned timetz, took interval, document jsonb NOT NULL, plain json, tags text[] NOT NULL,
    counts int[], states {s}.state[], address inet, net cidr, card macaddr, bits bit(5),
    price money, span tstzrange, whole int4range, spot point, letter char(3),
    doubled numeric GENERATED ALWAYS AS (total * 2) STORED,
    counter serial, parent bigint REFERENCES {s}.orders, note text
);
ALTER TABLE {s}.orders REPLICA IDENTITY FULL;
INSERT INTO {s}.orders (customer, number, state, total, rating, channel, flag, day, document, tags)
SELECT id, name, 'new', 1, 1, 'web', true, now(), '{}', '{}' FROM {s}.customers;
CREATE TABLE {s}.items (
    order_id bigint NOT NULL REFERENCES {s}.orders,
    line uuid NOT NULL,
    label varchar(30),
    place text,
    note varchar(100),
    PRIMARY KEY (order_id, line),
    UNIQUE (label, place)
);
CREATE UNIQUE INDEX ON {s}.items (lower(place));
CREATE TABLE {s}.places (
    code text PRIMARY KEY CHECK (length(code) > 5),
    depot text NOT NULL,
    note text
);
"""
#: What cannot be made: the table, and what the refusal says.
REFUSED = (
    (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, total int, price int, n int,"
        " CHECK (total = price * n), probe text)",
        "CHECK ((total = (price * n))) cannot be met",
    ),
    ("CREATE TABLE {s}.t (id bigint, probe text)", "it has no primary key"),
    ("CREATE TABLE {s}.t (id serial PRIMARY KEY, probe text)", "(id integer) has no room"),
    (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, v tsvector NOT NULL, probe text)",
        "values of column v (tsvector) cannot be made",
    ),
    (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, note text, short varchar(20))",
        "name one of its text columns (note) by --probe-column",
    ),
    (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, probe varchar(79))",
        "column 'probe' cannot hold the probe",
    ),
    (
        "CREATE TABLE {s}.p (id bigint PRIMARY KEY);"
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, p bigint NOT NULL REFERENCES {s}.p,"
        " probe text)",
        ".p, which has no row yet",
    ),
    (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, n int NOT NULL UNIQUE, probe text)",
        "UNIQUE (n) cannot be kept",
    ),
    (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, probe text);"
        "ALTER TABLE {s}.t REPLICA IDENTITY NOTHING",
        "REPLICA IDENTITY NOTHING lets PostgreSQL refuse",
    ),
    (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, probe text);"
        "CREATE FUNCTION {s}.no() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'not on Sundays'; END $$;"
        "CREATE TRIGGER no BEFORE INSERT ON {s}.t FOR EACH ROW EXECUTE FUNCTION {s}.no()",
        "PostgreSQL refuses rows that are made for it (not on Sundays",
    ),
)
