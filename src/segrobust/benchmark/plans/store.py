"""The store of a run: one SQLite file, written by one process; what was computed is in it, or it was not computed."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from segrobust.errors import MissingError, UsageError

SCHEMA = "segrobust.store/1"
FILE = "store.sqlite"
TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS photos (
    dataset TEXT NOT NULL, image TEXT NOT NULL, path TEXT NOT NULL, stat TEXT, sha256 TEXT, state TEXT NOT NULL,
    error TEXT, prompts TEXT, PRIMARY KEY (dataset, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS made (
    key TEXT PRIMARY KEY, image TEXT NOT NULL, attack TEXT NOT NULL, state TEXT NOT NULL, error TEXT, object TEXT,
    result TEXT, seconds REAL, finished TEXT, versions TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
    dataset TEXT NOT NULL, image TEXT NOT NULL, attack TEXT NOT NULL, surrogate TEXT NOT NULL, adaptive TEXT NOT NULL,
    target TEXT NOT NULL, defence TEXT NOT NULL, protocol TEXT NOT NULL, made TEXT NOT NULL, state TEXT NOT NULL,
    error TEXT, result TEXT, seconds REAL, finished TEXT, versions TEXT,
    PRIMARY KEY (dataset, image, target, defence, attack, surrogate, adaptive, protocol)) WITHOUT ROWID;
"""
Record = dict[str, Any]
JSON = ("prompts", "result")


def is_begun(folder: Path) -> bool:
    """Whether a folder has a store, and one that was not killed while it was made."""
    if not (folder / FILE).exists():
        return False
    with _spoken(folder / FILE), closing(sqlite3.connect(folder / FILE)) as base:
        return base.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None


class Store:
    """What a run has computed.

    A record is in the file whole or not at all (WAL, synced at every commit), whatever happens to the process.

    Args:
        folder: of the run.
        write: False: only look.

    Raises:
        UsageError: there is no such store, or of another version.
        MissingError: it cannot be opened or written.
    """

    def __init__(self, folder: Path, *, write: bool = True) -> None:
        self.file = folder / FILE
        if not write and not self.file.exists():
            raise UsageError(f"{folder} is not the folder of a plan: it has no {FILE}")
        with _spoken(self.file):
            self._base = sqlite3.connect(self.file, isolation_level=None)
            self._base.row_factory = sqlite3.Row
            if write:
                self._base.execute("PRAGMA journal_mode=WAL")
                self._base.execute("PRAGMA synchronous=FULL")
                version = f"INSERT OR IGNORE INTO meta VALUES ('schema', '{json.dumps(SCHEMA)}');"
                self._base.executescript(f"BEGIN;{TABLES};{version}COMMIT;")  # all or nothing, if killed now
            if self.meta("schema") != SCHEMA:
                raise UsageError(f"{self.file} is of another version of segrobust ({self.meta('schema')})")

    def close(self) -> None:
        """Fold the journal into the file and let go of it."""
        with _spoken(self.file):
            self._base.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self, key: str) -> Any:
        """A value that is kept beside the records; None if there is none."""
        found = self._one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if found is None else json.loads(found["value"])

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        self._write([("meta", {"key": key, "value": json.dumps(value)})])

    def put(self, table: str, record: Mapping[str, Any]) -> None:
        """Write a record, or write over it."""
        self.put_all([(table, record)])

    def put_all(self, records: list[tuple[str, Mapping[str, Any]]]) -> None:
        """Write records together: all of them, or none."""
        self._write([(table, _encoded(record)) for table, record in records])

    def photo(self, dataset: str, image: str) -> Record | None:
        """The record of a photo."""
        return self._one("SELECT * FROM photos WHERE dataset = ? AND image = ?", (dataset, image))

    def made(self, key: str) -> Record | None:
        """The record of an attack."""
        return self._one("SELECT * FROM made WHERE key = ?", (key,))

    def made_keys(self) -> dict[str, str | None]:
        """The attacks that are done, and what they saved."""
        with _spoken(self.file):
            return dict(self._base.execute("SELECT key, object FROM made WHERE state = 'done'").fetchall())

    def scores(self, dataset: str, image: str, target: str) -> Iterator[Record]:
        """The scores of a photo on a target."""
        query = "SELECT * FROM scores WHERE dataset = ? AND image = ? AND target = ?"
        return self._many(query, (dataset, image, target))

    def scored(self, dataset: str, image: str, target: str) -> list[Record]:
        """The same without what was measured."""
        columns = "attack, surrogate, adaptive, defence, protocol, made, state"
        query = f"SELECT {columns} FROM scores WHERE dataset = ? AND image = ? AND target = ?"
        return list(self._many(query, (dataset, image, target)))

    def count(self, table: str, state: str) -> int:
        """How many records of a table are in a state."""
        found = self._one(f"SELECT count(*) AS n FROM {table} WHERE state = ?", (state,))
        return int(found["n"]) if found else 0

    def forget(self, dataset: str, image: str) -> None:
        """Drop the scores of a photo: it is not the one that was scored."""
        with _spoken(self.file):
            self._base.execute("DELETE FROM scores WHERE dataset = ? AND image = ?", (dataset, image))

    def _one(self, query: str, values: tuple[Any, ...]) -> Record | None:
        return next(self._many(query, values), None)

    def _many(self, query: str, values: tuple[Any, ...]) -> Iterator[Record]:
        with _spoken(self.file):
            for row in self._base.execute(query, values).fetchall():
                record = dict(row)
                yield {key: json.loads(value) if key in JSON and value else value for key, value in record.items()}

    def _write(self, records: list[tuple[str, Record]]) -> None:
        with _spoken(self.file):
            self._base.execute("BEGIN IMMEDIATE")
            try:
                for table, record in records:
                    places = ", ".join("?" * len(record))
                    names = ", ".join(record)
                    self._base.execute(
                        f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({places})", tuple(record.values())
                    )
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise


def _encoded(record: Mapping[str, Any]) -> Record:
    return {key: json.dumps(value) if key in JSON and value is not None else value for key, value in record.items()}


@contextmanager
def _spoken(file: Path) -> Iterator[None]:
    """SQLite's errors as ours: a full disk is no bug."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise MissingError(f"cannot use {file}: {error}; the same command continues when it can be written") from error
