//! The file: an SQLite database that operators can open with `sqlite3`.
//!
//! Objects: a finished entry gets a new `id`, so that ids follow time and the oldest entries are found without a second
//! index. Polled sources: their checkpoints, and the delivered events of the time that may be read again.

use std::path::Path;

use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Params, ToSql, TransactionBehavior, named_params,
};

use super::mark::{Checkpoint, Mark, Polled, Seen};
use super::open_error::{OpenError, SCHEMA_VERSION, findings};
use super::private;
use super::row::{Identity, Place, Row};
use super::scope::{Ours, Scope};
use super::sent::Sent;
use crate::ack::Tables;
use crate::base::limits::{LEDGER_BUSY_TIMEOUT, LEDGER_CHECK_BYTES_MAX, POLL_SEEN_MAX};
use gave::Names;
use sql::{has, stored};

const SCHEMA: &str = "
CREATE TABLE objects (
    id        INTEGER PRIMARY KEY,
    input     TEXT NOT NULL,     -- id of the input
    bucket    TEXT NOT NULL,
    key       TEXT NOT NULL,
    etag      TEXT NOT NULL,     -- as S3 answered; empty: none
    version   TEXT NOT NULL,     -- empty: not versioned, or not announced
    checksum  TEXT NOT NULL,     -- CrowdStrike's; empty: none
    size      INTEGER NOT NULL,  -- compressed bytes
    records   INTEGER NOT NULL,  -- confirmed, from the beginning on
    delivered INTEGER NOT NULL,  -- 1: all of it is confirmed
    reader    TEXT NOT NULL,     -- program and format that counted the records
    at        INTEGER NOT NULL,  -- seconds since 1970
    UNIQUE (input, bucket, key, etag, version)
);
CREATE TABLE checkpoints (
    source    TEXT NOT NULL,     -- id of the input/service/region
    part      TEXT NOT NULL,     -- of a source with several streams; else empty
    value     TEXT NOT NULL,     -- everything before it is delivered
    at        INTEGER NOT NULL,  -- seconds since 1970
    PRIMARY KEY (source, part)
) WITHOUT ROWID;
CREATE TABLE seen (
    source    TEXT NOT NULL,
    id        BLOB NOT NULL,     -- fingerprint of a delivered event's id
    time      INTEGER NOT NULL,  -- of the event
    PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE TABLE terms (
    source    TEXT PRIMARY KEY,
    term      INTEGER NOT NULL   -- how often it was forgotten; no row: never
) WITHOUT ROWID;";

/// Tables for the scope of entries. Older programs do not know them, and write entries of the outputs with the number
/// 0.
const WHOSE: &str = "
CREATE TABLE IF NOT EXISTS outputs (
    id        INTEGER PRIMARY KEY,  -- 0: the first that were used
    addresses TEXT NOT NULL UNIQUE  -- a line each
);
CREATE TABLE IF NOT EXISTS queues (
    input     TEXT NOT NULL,     -- id of the input
    queue     TEXT NOT NULL,     -- that it read last
    PRIMARY KEY (input, queue)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    source    TEXT PRIMARY KEY,
    account   TEXT NOT NULL      -- that its checkpoints are of
) WITHOUT ROWID;";

/// The first version that has all tables of polled sources.
const WITH_SOURCES: i64 = 3;

const COLUMNS: &str = "input, bucket, key, etag, version, checksum, size, records, delivered, reader, at";

/// The columns of version 4, and their substitute in an older file that has not been upgraded.
const MORE_COLUMNS: [&str; 2] = ["reason, gave", "'', ''"];

/// A filter in SQL by input (an `aws` input has several, `<id>/<service>/<region>`) and by part of `s3://bucket/key`,
/// or all of it; an empty one matches all.
const FILTER: &str = "(:input = '' OR input = :input OR instr(input, :input || '/') = 1) \
                      AND (:part = '' \
                           OR CASE WHEN :exact THEN 's3://' || bucket || '/' || key = :part \
                              ELSE instr('s3://' || bucket || '/' || key, :part) > 0 END)";

/// A filter in SQL for sources: those of an input, or one of them.
const SOURCES: &str = "(?1 = '' OR source = ?1 OR instr(source, ?1 || '/') = 1)";

/// The selected entries. Empty texts select all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub input: String,
    /// A part of `s3://bucket/key`.
    pub part: String,
    /// The part is the whole of it.
    pub exact: bool,
}

impl Filter {
    /// True if the entries of this place are selected.
    pub fn selects(&self, place: &Place) -> bool {
        let Place { input, bucket, key } = place;
        let of_input =
            input.strip_prefix(&*self.input).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let name = format!("s3://{bucket}/{key}");
        let is_named = if self.exact { name == self.part } else { name.contains(&self.part) };
        (self.input.is_empty() || of_input) && (self.part.is_empty() || is_named)
    }

    /// The values of [`FILTER`].
    fn parameters(&self) -> [(&'static str, &dyn ToSql); 3] {
        [(":input", &self.input), (":part", &self.part), (":exact", &self.exact)]
    }
}

/// One connection to the file.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    ours: Ours,
    names: Names,
}

impl Store {
    /// Opens the ledger, and creates it if it is missing. It is proven to be writable then.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        private::prepare(path)?;
        let classified = |source| classified(path, source);
        let mut store = Store::connect(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(classified)?;
        // Write-ahead: readers and the writer do not wait for each other. FULL: committed data survives a power
        // failure; commits are grouped, so this is a few syncs a second at most.
        let prepare = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
        store.connection.execute_batch(prepare).map_err(classified)?;
        private::close_files(path);
        store.check(path)?;
        store.migrate(path)?;
        Ok(store)
    }

    /// Opens an existing ledger.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_existing(path: &Path) -> Result<Store, OpenError> {
        private::examine(path)?;
        if !path.exists() {
            return Err(OpenError::Absent { path: path.to_owned() });
        }
        let store = Store::attach(path)?;
        store.check(path)?;
        match store.version(path)? {
            0 => Err(OpenError::Foreign { path: path.to_owned() }),
            // The next run upgrades one of an older version.
            _ => Ok(store),
        }
    }

    /// One more connection to a ledger that has just been opened.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn attach(path: &Path) -> Result<Store, OpenError> {
        Store::connect(path, OpenFlags::empty()).map_err(|source| classified(path, source))
    }

    /// Sets the scope: from now on entries are written for its outputs, and only those count that were delivered to all
    /// of them. Its queues are those that the inputs read.
    ///
    /// # Errors
    /// [`OpenError::OtherQueue`], or if the file cannot be used.
    pub fn belong(&mut self, path: &Path, scope: &Scope) -> Result<(), OpenError> {
        self.refuse_other_queues(path, scope)?;
        self.take_over(scope).map_err(|source| classified(path, source))
    }

    /// Entries of another queue say nothing about this one's objects.
    ///
    /// # Errors
    /// [`OpenError::OtherQueue`], or if the file cannot be read.
    pub fn refuse_other_queues(&self, path: &Path, scope: &Scope) -> Result<(), OpenError> {
        for input in scope.inputs() {
            let known = self.queues(input).map_err(|source| classified(path, source))?;
            let now = scope.queues_of(input);
            if !known.is_empty() && !known.iter().any(|queue| now.contains(queue.as_str())) {
                let now = now.into_iter().collect::<Vec<_>>().join(", ");
                let (path, input, known) = (path.to_owned(), input.to_owned(), known.join(", "));
                return Err(OpenError::OtherQueue { path, input, known, now });
            }
        }
        Ok(())
    }

    /// The queues of an input that has entries.
    fn queues(&self, input: &str) -> rusqlite::Result<Vec<String>> {
        if !self.has("queues", "queue")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT queue FROM queues WHERE input = ?1
             AND EXISTS (SELECT 1 FROM objects WHERE input = ?1 AND (delivered OR records > 0))";
        let mut statement = self.connection.prepare(sql)?;
        let queues = statement.query_map([input], |row| row.get(0))?;
        queues.collect()
    }

    fn take_over(&mut self, scope: &Scope) -> rusqlite::Result<()> {
        let destinations = scope.destinations();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for input in scope.inputs() {
            transaction.execute("DELETE FROM queues WHERE input = ?1", [input])?;
            for queue in scope.queues_of(input) {
                transaction.execute("INSERT INTO queues VALUES (?1, ?2)", [input, queue])?;
            }
        }
        let next =
            "INSERT OR IGNORE INTO outputs VALUES ((SELECT coalesce(max(id) + 1, 0) FROM outputs), ?1)";
        transaction.execute(next, [&destinations])?;
        let known = {
            let mut statement = transaction.prepare("SELECT id, addresses FROM outputs")?;
            let known = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
            known.collect::<Result<Vec<(i64, String)>, _>>()?
        };
        transaction.commit()?;
        self.ours = Ours::among(&known, &destinations);
        Ok(())
    }

    /// Assigns a source's checkpoints to `account`, unless they belong to another one, which is returned.
    pub fn belongs_to(&self, source: &str, account: &str) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT account, EXISTS (SELECT 1 FROM checkpoints WHERE source = ?1) FROM accounts WHERE source = ?1";
        let known =
            self.connection.query_row(sql, [source], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match known {
            Some((known, _)) if known == account => Ok(None),
            Some((other, true)) => Ok(Some(other)),
            _ => {
                // Only now something is written, which may have to wait for others.
                let own = "INSERT OR REPLACE INTO accounts VALUES (?1, ?2)";
                self.connection.execute(own, [source, account]).map(|_| None)
            }
        }
    }

    /// The account that a source's checkpoints are of, if it is known.
    pub fn account(&self, source: &str) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT account FROM accounts WHERE source = ?1";
        self.connection.query_row(sql, [source], |row| row.get(0)).optional()
    }

    /// One more connection with the same scope.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn another(&self, path: &Path) -> Result<Store, OpenError> {
        Ok(Store { ours: self.ours.clone(), ..Store::attach(path)? })
    }

    /// All entries of a place that count; those of delivered objects without their tables.
    pub fn rows(&self, place: &Place) -> rusqlite::Result<Vec<Row>> {
        let sql = format!(
            "SELECT {COLUMNS}, reason, CASE WHEN delivered THEN '' ELSE gave END
             FROM objects WHERE input = :input AND bucket = :bucket AND key = :key AND outputs IN ({})",
            self.ours.believed
        );
        let place = named_params! {":input": place.input, ":bucket": place.bucket, ":key": place.key};
        self.select(&sql, place)
    }

    /// The newest entries first.
    pub fn list(&self, filter: &Filter, limit: u64) -> rusqlite::Result<Vec<Row>> {
        let more = if self.has("objects", "gave")? { MORE_COLUMNS[0] } else { MORE_COLUMNS[1] };
        let sql = format!(
            "SELECT {COLUMNS}, {more} FROM objects WHERE {FILTER} ORDER BY at DESC, id DESC LIMIT :limit"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.select(&sql, named_params! {":input": filter.input, ":part": filter.part, ":exact": filter.exact, ":limit": limit})
    }

    /// Writes all rows in one transaction. Delivered entries stay delivered.
    pub fn write<'r>(&mut self, rows: impl IntoIterator<Item = &'r Row>) -> rusqlite::Result<()> {
        self.record(rows, &[])
    }

    /// Writes all rows and adds to the counts of sent events, in one transaction.
    pub fn record<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r Row>,
        sent: &[Sent],
    ) -> rusqlite::Result<()> {
        let recorded = self.try_to_record(rows, sent);
        if recorded.is_err() {
            self.names.forget();
        }
        recorded
    }

    fn try_to_record<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r Row>,
        sent: &[Sent],
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut forget = transaction.prepare_cached(
                "DELETE FROM objects WHERE input = ?1 AND bucket = ?2 AND key = ?3 AND etag = ?4 AND version = ?5",
            )?;
            let mut insert = transaction.prepare_cached(&format!(
                "INSERT INTO objects ({COLUMNS}, {}, outputs)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, {})
                 ON CONFLICT (input, bucket, key, etag, version) DO UPDATE SET
                     records = excluded.records, reader = excluded.reader, at = excluded.at,
                     delivered = excluded.delivered, outputs = excluded.outputs,
                     reason = excluded.reason, gave = excluded.gave
                 WHERE NOT delivered OR outputs NOT IN ({})",
                MORE_COLUMNS[0], self.ours.id, self.ours.believed,
            ))?;
            for row in rows {
                let gave = self.names.written(&transaction, &row.tables)?;
                let (place, identity) = (&row.place, &row.identity);
                if row.delivered {
                    let key = (&place.input, &place.bucket, &place.key, &identity.etag, &identity.version);
                    forget.execute(key)?;
                }
                insert.execute((
                    &place.input,
                    &place.bucket,
                    &place.key,
                    &identity.etag,
                    &identity.version,
                    &identity.checksum,
                    stored(row.size),
                    stored(row.records),
                    row.delivered,
                    &row.reader,
                    row.at,
                    &row.reason,
                    gave,
                ))?;
            }
        }
        gave::add(&transaction, &mut self.names, sent)?;
        transaction.commit()
    }

    /// Removes those of the `rows_max` oldest entries that are from before `oldest`; all of them while the file holds more than
    /// `bytes_max`. Returns their number.
    pub fn sweep(&mut self, oldest: i64, bytes_max: u64, rows_max: usize) -> rusqlite::Result<usize> {
        self.sweep_suspects(oldest)?;
        self.sweep_sent(oldest)?;
        let too_large = self.bytes()? > bytes_max;
        let sql = "DELETE FROM objects WHERE (:all OR at < :oldest)
                   AND id IN (SELECT id FROM objects ORDER BY id LIMIT :rows)";
        let rows = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let parameters = named_params! {":all": too_large, ":oldest": oldest, ":rows": rows};
        self.connection.prepare_cached(sql)?.execute(parameters)
    }

    /// Forgets the matching entries. Returns their number.
    pub fn forget(&mut self, filter: &Filter) -> rusqlite::Result<usize> {
        let sql = format!("DELETE FROM objects WHERE {FILTER}");
        self.connection.execute(&sql, filter.parameters().as_slice())
    }

    /// Forgets these objects, but not others with the same keys.
    pub fn forget_rows(&mut self, rows: &[Row]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut forget = transaction.prepare_cached(
                "DELETE FROM objects WHERE input = ?1 AND bucket = ?2 AND key = ?3 AND etag = ?4 AND version = ?5",
            )?;
            for Row { place, identity, .. } in rows {
                forget.execute((
                    &place.input,
                    &place.bucket,
                    &place.key,
                    &identity.etag,
                    &identity.version,
                ))?;
            }
        }
        transaction.commit()
    }

    /// The stored state of a polled source.
    pub fn polled(&self, source: &str) -> rusqlite::Result<Polled> {
        let mut checkpoints =
            self.connection.prepare_cached("SELECT part, value FROM checkpoints WHERE source = ?1")?;
        let checkpoints = checkpoints.query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut seen = self
            .connection
            .prepare_cached("SELECT id, time FROM seen WHERE source = ?1 ORDER BY time DESC LIMIT ?2")?;
        let seen = seen.query_map((source, POLL_SEEN_MAX as i64), |row| {
            Ok(Seen { id: u128::from_be_bytes(row.get(0)?), time: row.get(1)? })
        })?;
        Ok(Polled {
            term: self.term(source)?,
            checkpoints: checkpoints.collect::<Result<_, _>>()?,
            seen: seen.collect::<Result<_, _>>()?,
        })
    }

    /// The number of times a source was forgotten.
    pub fn term(&self, source: &str) -> rusqlite::Result<i64> {
        let mut terms = self.connection.prepare_cached("SELECT term FROM terms WHERE source = ?1")?;
        Ok(terms.query_row([source], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    /// Writes all marks, in order, in one transaction, except those whose source was forgotten since.
    pub fn mark(&mut self, marks: &[Mark], now: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut reach =
                transaction.prepare_cached("INSERT OR REPLACE INTO checkpoints VALUES (?1, ?2, ?3, ?4)")?;
            let mut end =
                transaction.prepare_cached("DELETE FROM checkpoints WHERE source = ?1 AND part = ?2")?;
            let mut see = transaction.prepare_cached("INSERT OR REPLACE INTO seen VALUES (?1, ?2, ?3)")?;
            let mut forget =
                transaction.prepare_cached("DELETE FROM seen WHERE source = ?1 AND time < ?2")?;
            let mut terms = transaction.prepare_cached("SELECT term FROM terms WHERE source = ?1")?;
            for Mark { source, term, checkpoints, seen, forget_before } in marks {
                let now_in = terms.query_row([source], |row| row.get::<_, i64>(0)).optional()?;
                if now_in.unwrap_or(0) != *term {
                    continue;
                }
                for (part, value) in checkpoints {
                    match value.as_str() {
                        "" => end.execute((source, part))?,
                        value => reach.execute((source, part, value, now))?,
                    };
                }
                for Seen { id, time } in seen {
                    see.execute((source, id.to_be_bytes(), time))?;
                }
                if let Some(time) = forget_before {
                    forget.execute((source, time))?;
                }
            }
        }
        transaction.commit()
    }

    /// The checkpoints of an input's sources (`1023001`, or one of them: `1023001/metrics-all/us-east-1`); of all
    /// inputs if it is empty.
    pub fn checkpoints(&self, input: &str) -> rusqlite::Result<Vec<Checkpoint>> {
        if !self.has_sources()? {
            return Ok(Vec::new());
        }
        let sql =
            format!("SELECT source, part, value, at FROM checkpoints WHERE {SOURCES} ORDER BY source, part");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([input], |row| {
            let (source, part) = (row.get(0)?, row.get(1)?);
            Ok(Checkpoint { source, part, value: row.get(2)?, at: row.get(3)? })
        })?;
        rows.collect()
    }

    /// Restarts polled sources of the input, including running ones: they notice that their term is over. Of all inputs
    /// if it is empty. Returns the number of removed checkpoints.
    pub fn forget_sources(&mut self, input: &str) -> rusqlite::Result<usize> {
        self.forget_where(SOURCES, input)
    }

    /// Restarts this polled source alone, and none whose names go on after its own. Returns the number of removed
    /// checkpoints.
    pub fn forget_source(&mut self, source: &str) -> rusqlite::Result<usize> {
        self.forget_where("source = ?1", source)
    }

    fn forget_where(&mut self, condition: &str, name: &str) -> rusqlite::Result<usize> {
        if !self.has_sources()? {
            return Ok(0);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next_term = format!(
            "INSERT INTO terms SELECT DISTINCT source, 1 FROM checkpoints WHERE {condition}
             ON CONFLICT (source) DO UPDATE SET term = term + 1"
        );
        transaction.execute(&next_term, [name])?;
        transaction.execute(&format!("DELETE FROM seen WHERE {condition}"), [name])?;
        let forgotten = transaction.execute(&format!("DELETE FROM checkpoints WHERE {condition}"), [name])?;
        transaction.commit()?;
        Ok(forgotten)
    }

    fn has_sources(&self) -> rusqlite::Result<bool> {
        let version: i64 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok(version >= WITH_SOURCES)
    }

    /// Bytes of the file in use; removed entries leave room for new ones.
    pub fn bytes(&self) -> rusqlite::Result<u64> {
        let number = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = number("page_count")? - number("freelist_count")?;
        Ok((pages * number("page_size")?).unsigned_abs())
    }

    fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Store> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(LEDGER_BUSY_TIMEOUT)?;
        Ok(Store { connection, ours: Ours::default(), names: Names::default() })
    }

    /// A large file is not read whole at each start: damage in its middle is found when it is used.
    fn check(&self, path: &Path) -> Result<(), OpenError> {
        if self.bytes().map_err(|source| classified(path, source))? > LEDGER_CHECK_BYTES_MAX {
            return Ok(());
        }
        let mut rows = Vec::new();
        let mut note = |row: &rusqlite::Row<'_>| row.get(0).map(|finding: String| rows.push(finding));
        self.connection
            .pragma_query(None, "quick_check", &mut note)
            .map_err(|source| classified(path, source))?;
        let Some(finding) = findings(&rows) else { return Ok(()) };
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        let cause = rusqlite::Error::SqliteFailure(code, Some(finding));
        Err(OpenError::Damaged { path: path.to_owned(), cause })
    }

    /// The schema's version; 0 if the file is empty.
    fn version(&self, path: &Path) -> Result<i64, OpenError> {
        let number = |sql: &str| {
            let value = self.connection.query_row(sql, (), |row| row.get::<_, i64>(0));
            value.map_err(|source| classified(path, source))
        };
        match number("PRAGMA user_version")? {
            found if found > SCHEMA_VERSION => Err(OpenError::Newer { path: path.to_owned(), found }),
            0 if number("SELECT count(*) FROM sqlite_schema")? > 0 => {
                Err(OpenError::Foreign { path: path.to_owned() })
            }
            found => Ok(found),
        }
    }

    fn migrate(&mut self, path: &Path) -> Result<(), OpenError> {
        let version = self.version(path)?;
        self.bring_up(version).map_err(|source| classified(path, source))
    }

    /// Writes the version in any case, which shows whether the file can be written.
    fn bring_up(&mut self, version: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version < SCHEMA_VERSION {
            // Another collector may have been faster.
            let schema = SCHEMA.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS");
            transaction.execute_batch(&schema)?;
        }
        transaction.execute_batch(WHOSE)?;
        if !has(&transaction, "objects", "outputs")? {
            transaction.execute_batch("ALTER TABLE objects ADD COLUMN outputs INTEGER NOT NULL DEFAULT 0")?;
        }
        for (column, add) in gave::COLUMNS {
            if !has(&transaction, "objects", column)? {
                transaction.execute_batch(add)?;
            }
        }
        transaction.execute_batch(TABLE)?;
        transaction.execute_batch(gave::TABLES)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()
    }

    fn has(&self, table: &str, column: &str) -> rusqlite::Result<bool> {
        has(&self.connection, table, column)
    }

    fn select(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, |row| Ok((read(row)?, row.get::<_, String>(12)?)))?;
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        if rows.iter().any(|(_, gave)| !gave.is_empty()) {
            let names = gave::names(&self.connection)?;
            rows.iter_mut().for_each(|(row, gave)| row.tables = gave::read(gave, &names));
        }
        Ok(rows.into_iter().map(|(row, _)| row).collect())
    }
}

/// True if the table has the column.
fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        place: Place { input: row.get(0)?, bucket: row.get(1)?, key: row.get(2)? },
        identity: Identity { etag: row.get(3)?, version: row.get(4)?, checksum: row.get(5)? },
        size: row.get::<_, i64>(6)?.unsigned_abs(),
        records: row.get::<_, i64>(7)?.unsigned_abs(),
        delivered: row.get(8)?,
        reason: row.get(11)?,
        tables: Tables::default(),
        reader: row.get(9)?,
        at: row.get(10)?,
    })
}

/// Another process holds the file for the moment.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn classified(path: &Path, cause: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged { path, cause },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            OpenError::ReadOnly { path, cause }
        }
        Some(ErrorCode::DiskFull) => OpenError::Full { path, cause },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Busy { path, cause },
        // No room for the index of the write-ahead log.
        _ if cause.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE) => {
            OpenError::Full { path, cause }
        }
        // A table or a column is missing, or has values that it never gets.
        Some(ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ConstraintViolation) | None => {
            OpenError::Altered { path, cause }
        }
        _ => OpenError::Other { path, cause },
    }
}

pub(super) mod counts;
mod export;
mod gave;
pub(super) mod look;
mod sql;
mod suspects;
/// A ledger of an older version gets the table when it is opened; that version ignores it.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS suspects (
    input     TEXT NOT NULL,
    bucket    TEXT NOT NULL,     -- empty: the key is the id of a message
    key       TEXT NOT NULL,
    etag      TEXT NOT NULL,     -- these three as announced
    version   TEXT NOT NULL,
    checksum  TEXT NOT NULL,
    deaths    INTEGER NOT NULL,  -- how often the process died while it decoded the object
    run       TEXT NOT NULL,     -- which process that was, the last time
    at        INTEGER NOT NULL,  -- seconds since 1970
    PRIMARY KEY (input, bucket, key)
) WITHOUT ROWID;";

#[cfg(test)]
mod tests;
