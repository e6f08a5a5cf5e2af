//! The calls to the shared table.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::lease::{Beat, Host, Lease, Leases, Load, NOBODY, Silent, Taking};
use super::pending::Pending;
use super::record::{EXPIRES, Key, OBJECTS, Record};
use crate::aws::dynamodb::{self, Item, Items, number, text};
use crate::aws::request::Address;
use crate::aws::{Client, Error, Http, Kind, Request, Unusable};
use crate::base::backoff::Backoff;
use crate::base::limits::{
    FLEET_BATCH_WRITES_MAX, FLEET_CALL_TIMEOUT, FLEET_COMMAND_PATIENCE, FLEET_COMMAND_TIMEOUT,
    FLEET_CONFLICT_WAIT, FLEET_CONFLICTS_MAX, FLEET_FORGET_ATTEMPTS, FLEET_HOST_AGE, FLEET_SEEN_AGE,
    FLEET_SEEN_PER_ITEM, FLEET_WATCH_INTERVAL, FLEET_WRITES_MAX, LEDGER_AGE_MAX, POLL_SEEN_MAX,
};
use crate::base::runtime::{clock, thread};
use crate::base::stop::Stop;
use crate::ledger::{Place, Polled, Row, Seen, seconds};
use crate::settings::{Service, SharedTable};

const LEASES: &str = "leases";
const HOSTS: &str = "hosts";
const CHECKPOINT: &str = "checkpoint/";
const SEEN: &str = "seen/";
const ACCOUNT: &str = "account";
const NOTE: &str = "note";
/// Bytes of a delivered event in an item: its id and its time, both big-endian.
const SEEN_BYTES: usize = 24;

/// A source's state in the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub polled: Polled,
    /// The account of the checkpoints. None: the table does not name it.
    pub account: Option<String>,
    /// The latest command about it.
    pub note: Option<Note>,
}

impl Known {
    /// True if the source was forgotten, and nobody has recorded a step of it since.
    pub fn is_forgotten(&self) -> bool {
        self.note == Some(Note::Forgotten) && self.account.is_none()
    }
}

/// A note that a command leaves at a source in the table, for hosts and for other commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// It was forgotten: hosts whose own ledgers know it forget it, too. It is over as soon as the table names an account again.
    Forgotten,
    /// An import of it has not come to its end.
    Importing,
}

/// The shared table. Clones share connections and credentials.
#[derive(Clone)]
pub struct Table {
    client: Client,
    /// Calls are repeated, and have time.
    is_patient: bool,
    endpoint: String,
    name: String,
    /// For people.
    resource: String,
}

impl Table {
    /// Nothing is called yet. `stop` ends waits between attempts.
    pub fn new(http: &Http, settings: &SharedTable, stop: &Stop) -> Table {
        let SharedTable { name, region, credentials, endpoints, .. } = settings;
        Table::of(Client::new(http, "globals.persistence", credentials, endpoints, region, stop), name)
    }

    fn of(client: Client, name: &str) -> Table {
        let (endpoint, resource) = (client.endpoint(Service::DynamoDb), format!("table {name}"));
        Table { client, is_patient: false, endpoint, name: name.to_owned(), resource }
    }

    /// A copy for work that no lease waits for: its calls have the usual attempts, and time.
    pub fn patient(&self) -> Table {
        Table { is_patient: true, ..self.clone() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// All leases.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn leases(&self) -> Result<Leases, Error> {
        let mut leases = Leases::default();
        for item in self.query(LEASES)? {
            let Some(source) = item.text("sk").map(str::to_owned) else { continue };
            match lease(&item) {
                Some(lease) => drop(leases.known.insert(source, lease)),
                None => drop(leases.unreadable.insert(source)),
            }
        }
        Ok(leases)
    }

    /// All hosts that were there within a day.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn hosts(&self) -> Result<Vec<Host>, Error> {
        Ok(self.query(HOSTS)?.iter().filter_map(host).collect())
    }

    /// Writes a host's heartbeat. It leaves alone what others have asked of the host. With `must_be_there` it writes nothing if the
    /// table does not have the host, and returns false then.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn beat(&self, host: &Host, must_be_there: bool) -> Result<bool, Error> {
        let lines = |sources: &BTreeSet<String>| {
            text(&sources.iter().map(String::as_str).collect::<Vec<_>>().join("\n"))
        };
        let attributes = [
            ("name", text(&host.name)),
            ("version", text(&host.version)),
            ("sources", lines(&host.sources)),
            ("unable", lines(&host.unable)),
            ("beat", number(host.beat.count())),
            ("rate", number(host.load.rate)),
            ("messages", number(host.load.messages)),
            ("receives", number(host.load.receives)),
            ("passing", number(u8::from(host.passing))),
            ("obeys", number(u8::from(host.obeys))),
            (EXPIRES, number(self.now().saturating_add(seconds(FLEET_HOST_AGE)))),
        ];
        let condition = must_be_there.then_some("attribute_exists(pk)");
        if_allowed(self.set((HOSTS, &host.id), &attributes, condition, &[]))
    }

    /// Asks a host to take nothing new and to give up its sources, or to be as others again. Returns false if it has left.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn drain(&self, host: &str, drained: bool) -> Result<bool, Error> {
        let drained = ("drained", number(u8::from(drained)));
        if_allowed(self.set((HOSTS, host), &[drained], Some("attribute_exists(pk)"), &[]))
    }

    /// Says which host is to have a source while that host lives; None: any. Returns false if nobody has ever held the source.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn mean(&self, source: &str, host: Option<&str>) -> Result<bool, Error> {
        let meant = ("meant", text(host.unwrap_or(NOBODY)));
        if_allowed(self.set((LEASES, source), &[meant], Some("attribute_exists(pk)"), &[]))
    }

    /// Removes a host.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn leave(&self, host: &str) -> Result<(), Error> {
        self.call(dynamodb::delete(&self.address(), &self.name, HOSTS, host), dynamodb::read_done)
    }

    /// Takes a lease, if it is still as it was seen, and its holder still silent. Returns its epoch; None if another host
    /// was faster, or the holder has shown a sign of life.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn take(&self, taking: &Taking, holder: &str) -> Result<Option<u64>, Error> {
        let Taking { source, seen, silent } = taking;
        let epoch = seen.as_ref().map_or(0, |seen| seen.epoch).saturating_add(1);
        let mut values = json!({
            ":holder": text(holder), ":epoch": number(epoch), ":zero": number(0), ":beat": beat_of(holder),
        });
        let mut condition = "attribute_not_exists(pk)";
        if let Some(seen) = seen {
            (values[":seen"], values[":was"]) = (text(&seen.holder), number(seen.epoch));
            condition = "#holder = :seen AND #epoch = :was";
        }
        let update = json!({"Update": {
            "TableName": self.name,
            "Key": Item::of(LEASES, source).into_value(),
            "UpdateExpression": "SET #holder = :holder, #epoch = :epoch, #written = :zero, #beat = :beat",
            "ConditionExpression": condition,
            "ExpressionAttributeNames":
                {"#holder": "holder", "#epoch": "epoch", "#written": "written", "#beat": "beat"},
            "ExpressionAttributeValues": values,
        }});
        let all: Vec<Value> = silent.iter().map(|silent| self.is_silent(silent)).chain([update]).collect();
        Ok(self.transact(&all)?.then_some(epoch))
    }

    /// The part of a transaction that lets it happen only while a host shows no sign of life.
    fn is_silent(&self, silent: &Silent) -> Value {
        let mut check = json!({
            "TableName": self.name,
            "Key": Item::of(HOSTS, &silent.host).into_value(),
            "ConditionExpression": "attribute_not_exists(pk)",
        });
        if let Some(beat) = &silent.beat {
            check["ExpressionAttributeNames"] = json!({"#beat": "beat"});
            let mut condition = "attribute_exists(pk) AND attribute_not_exists(#beat)";
            if let Some(attribute) = beat.attribute() {
                condition = "#beat = :beat";
                check["ExpressionAttributeValues"] = json!({ ":beat": attribute });
            }
            check["ConditionExpression"] = condition.into();
        }
        json!({ "ConditionCheck": check })
    }

    /// Gives a lease up. Returns false if it was gone already.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn release(&self, source: &str, holder: &str, epoch: u64) -> Result<bool, Error> {
        let free = [("holder", text(NOBODY)), ("epoch", number(epoch)), ("beat", beat_of(NOBODY))];
        self.change_held((LEASES, source), &free, holder, epoch)
    }

    /// A source's checkpoints and delivered events.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn load(&self, source: &str) -> Result<Known, Error> {
        Ok(known(&self.query(&pk(source))?))
    }

    /// Writes a source's marks. Returns false if the lease is no longer this holder's, or of another epoch: then
    /// nothing more of them is written. `number` grows with each write of one epoch.
    ///
    /// # Errors
    /// If the table cannot be written. Some of them may be written then; writing them again changes nothing.
    pub fn save(&self, lease: &Held<'_>, pending: &Pending, number: u64) -> Result<bool, Error> {
        if !self.write(lease, number, self.writes_of(lease, pending, number))? {
            return Ok(false);
        }
        match pending.forget_before {
            Some(time) => self.forget_seen(lease, number, time),
            None => Ok(true),
        }
    }

    /// The writes of marks, in groups whose order is kept. A position comes after the events before it and after what it leaves out,
    /// and what is no longer left out is removed at last: a host that reads the table after some of the writes repeats
    /// something, and misses nothing. A part that says what a position leaves out has a blank in its name.
    fn writes_of(&self, lease: &Held<'_>, pending: &Pending, number: u64) -> [Vec<Value>; 3] {
        let pk = pk(lease.source);
        let account =
            pending.account.iter().map(|account| Item::of(&pk, ACCOUNT).with("value", text(account)));
        let mut before: Vec<Value> = account.map(|item| self.put(item)).collect();
        let expires = self.now().saturating_add(seconds(FLEET_SEEN_AGE));
        for (part, seen) in pending.seen.chunks(FLEET_SEEN_PER_ITEM).enumerate() {
            let latest = seen.iter().map(|seen| seen.time).max().unwrap_or_default();
            let item = Item::of(&pk, &format!("{SEEN}{}/{number}/{part}", lease.epoch))
                .with("ids", dynamodb::bytes(&packed(seen)))
                .with("latest", dynamodb::number(latest))
                .with(EXPIRES, dynamodb::number(expires));
            before.push(self.put(item));
        }
        let (mut positions, mut after) = (Vec::new(), Vec::new());
        for (part, value) in &pending.checkpoints {
            let sk = format!("{CHECKPOINT}{part}");
            let group = match (part.contains(' '), value.is_empty()) {
                (true, false) => &mut before,
                (true, true) => &mut after,
                (false, _) => &mut positions,
            };
            group.push(match value.as_str() {
                "" => self.delete(&pk, &sk),
                value => self.put(Item::of(&pk, &sk).with("value", text(value))),
            });
        }
        [before, positions, after]
    }

    /// Makes the table forget a source: the host that holds its lease loses it, and the source starts again from the
    /// beginning, also on a host whose own ledger knows it. A lease that cannot be read is replaced.
    ///
    /// # Errors
    /// If the table cannot be used. The source may be partly forgotten then; the next holder reads that again.
    pub fn forget(&self, source: &str) -> Result<(), Error> {
        self.between_holders(source, |nobody| {
            let items = self.query(&pk(source))?;
            let keys = items.iter().filter_map(|item| item.text("sk")).filter(|sk| *sk != NOTE);
            let keys = keys.map(|sk| self.delete(&pk(source), sk)).collect();
            self.write(nobody, 0, [vec![self.note(source, Note::Forgotten)], keys])
        })
    }

    /// Adds checkpoints, their account and delivered events to a source: the host that holds its lease loses it, and goes on with them.
    ///
    /// # Errors
    /// If the table cannot be used. Some of them may be written then: the table says so, and no host polls the source until they are
    /// restored again.
    pub fn restore(&self, source: &str, known: Known) -> Result<(), Error> {
        let Known { polled: Polled { checkpoints, seen, .. }, account, .. } = known;
        let pending = Pending { account, checkpoints, seen, forget_before: None };
        self.between_holders(source, |nobody| {
            Ok(self.write(nobody, 0, [vec![self.note(source, Note::Importing)]])?
                && self.save(nobody, &pending, 0)?
                && self.write(nobody, 0, [vec![self.delete(&pk(source), NOTE)]])?)
        })
    }

    /// Takes a source's lease for nobody, and changes the source before a host can take it.
    fn between_holders(
        &self,
        source: &str,
        change: impl Fn(&Held<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        for _ in 0..FLEET_FORGET_ATTEMPTS {
            let mut leases = self.leases()?;
            if leases.unreadable.contains(source) {
                self.replace_lease(source)?;
                continue;
            }
            // Its holder may be alive.
            let taking =
                Taking { source: source.to_owned(), seen: leases.known.remove(source), silent: None };
            let Some(epoch) = self.take(&taking, NOBODY)? else { continue };
            if change(&Held { source, holder: NOBODY, epoch })? {
                return Ok(());
            }
        }
        let why = "its lease changes all the time: stop the collectors that poll it, and try again";
        Err(Error::setup("dynamodb:UpdateItem", source, Kind::Changed, why))
    }

    /// Replaces a lease, whatever it has, by one that nobody holds. Its epoch is the time, since that of the one before
    /// is not known and must not come again.
    fn replace_lease(&self, source: &str) -> Result<(), Error> {
        let item = Item::of(LEASES, source)
            .with("holder", text(NOBODY))
            .with("epoch", number(self.now()))
            .with("beat", beat_of(NOBODY));
        self.call(dynamodb::put(&self.address(), &self.name, item), dynamodb::read_done)
    }

    /// The object with this key.
    ///
    /// # Errors
    /// If the table cannot be read, or the item is not as this program writes it ([`Kind::BadRequest`](crate::aws::Kind)).
    pub fn object(&self, key: &Key) -> Result<Option<Record>, Error> {
        let unreadable = || {
            Unusable::odd(format!(
                "the item with pk {:?} and sk {:?} is not as this version of aws-to-devo writes it",
                key.pk(),
                key.sk()
            ))
        };
        let request = dynamodb::get(&self.address(), &self.name, &key.pk(), &key.sk());
        self.call(request, |body| match dynamodb::read_item(body)? {
            Some(item) => Record::read(&item).map(Some).ok_or_else(unreadable),
            None => Ok(None),
        })
    }

    /// Writes an object, unless it is there already.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn create_object(&self, key: &Key, record: &Record) -> Result<bool, Error> {
        self.add_object(key, &record.attributes(self.expiry()))
    }

    /// The same with the item's attributes besides its keys.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn add_object(&self, key: &Key, attributes: &[(&'static str, Value)]) -> Result<bool, Error> {
        if_allowed(self.set((&key.pk(), &key.sk()), attributes, Some("attribute_not_exists(pk)"), &[]))
    }

    /// Changes an object, if this holder still has it with this epoch. The attributes must name both.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn change_object(
        &self,
        key: &Key,
        attributes: &[(&'static str, Value)],
        holder: &str,
        epoch: u64,
    ) -> Result<bool, Error> {
        self.change_held((&key.pk(), &key.sk()), attributes, holder, epoch)
    }

    /// Sets some attributes of an item, among them `holder` and `epoch`, if it still has these values of both. Returns false if it has
    /// others.
    fn change_held(
        &self,
        key: (&str, &str),
        attributes: &[(&'static str, Value)],
        holder: &str,
        epoch: u64,
    ) -> Result<bool, Error> {
        let was = [(":was_holder", text(holder)), (":was_epoch", number(epoch))];
        let condition = "#holder = :was_holder AND #epoch = :was_epoch";
        if_allowed(self.set(key, attributes, Some(condition), &was))
    }

    /// Sets some attributes of an item. `more` are the values that the condition names besides.
    fn set(
        &self,
        (pk, sk): (&str, &str),
        attributes: &[(&'static str, Value)],
        condition: Option<&str>,
        more: &[(&'static str, Value)],
    ) -> Result<(), Error> {
        let changes: Vec<_> = attributes.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let names: Map<_, _> =
            attributes.iter().map(|(name, _)| (format!("#{name}"), (*name).into())).collect();
        let own = attributes.iter().map(|(name, value)| (format!(":{name}"), value.clone()));
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let mut input = json!({
            "Key": Item::of(pk, sk).into_value(),
            "UpdateExpression": format!("SET {}", changes.join(", ")),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": own.chain(more).collect::<Map<_, _>>(),
        });
        if let Some(condition) = condition {
            input["ConditionExpression"] = condition.into();
        }
        let request = dynamodb::update(&self.address(), &self.name, input);
        self.call(request, dynamodb::read_updated).map(drop)
    }

    /// Makes all writes of a transaction, or none. Returns false if a condition of one does not hold.
    fn transact(&self, writes: &[Value]) -> Result<bool, Error> {
        if_allowed(self.call(dynamodb::transact(&self.address(), writes), dynamodb::read_done))
    }

    /// Makes some unconditional writes of different items, as many as a batch can have. Returns those that were not made.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn write_batch(&self, requests: &[Value]) -> Result<Vec<Value>, Error> {
        let request = dynamodb::batch_write(&self.address(), &self.name, requests);
        self.call(request, dynamodb::read_unprocessed)
    }

    /// Passes all objects on, in any order. Stops with the first error that `take` returns.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn objects(&self, take: &mut dyn FnMut(Record) -> Result<(), String>) -> Result<(), String> {
        let mut start = None;
        loop {
            let page = self.page_of_objects(start.as_ref()).map_err(|error| error.to_string())?;
            page.items.iter().filter_map(Record::read).try_for_each(&mut *take)?;
            let Some(next) = page.next else { return Ok(()) };
            start = Some(next);
        }
    }

    fn page_of_objects(&self, start: Option<&Value>) -> Result<Items, Error> {
        let request = dynamodb::scan(&self.address(), &self.name, OBJECTS, start);
        self.call(request, |body| dynamodb::read_scanned(body, start))
    }

    /// Forgets the objects that are meant, also those that hosts collect at present: they begin again. Returns their number.
    ///
    /// # Errors
    /// If the table cannot be used. Some of them may be forgotten then.
    pub fn forget_objects(&self, is_meant: impl Fn(&Place) -> bool) -> Result<usize, String> {
        let mut rows = Vec::new();
        self.objects(&mut |Record { row, .. }| {
            if is_meant(&row.place) {
                rows.push(row);
            }
            Ok(())
        })?;
        self.forget_rows(&rows).map_err(|error| error.to_string())?;
        Ok(rows.len())
    }

    /// Forgets these objects, but not others with the same keys.
    ///
    /// # Errors
    /// If the table cannot be written. Some of them may be forgotten then.
    pub fn forget_rows(&self, rows: &[Row]) -> Result<(), Error> {
        for rows in rows.chunks(FLEET_BATCH_WRITES_MAX) {
            let keys = rows.iter().filter_map(|row| Key::of(&row.place, &row.identity));
            let mut left: Vec<Value> =
                keys.map(|key| dynamodb::delete_request(&key.pk(), &key.sk())).collect();
            persist(clock::now() + FLEET_COMMAND_PATIENCE, || {
                left = self.write_batch(&left)?;
                if left.is_empty() {
                    return Ok(());
                }
                let why = "the table carries out only a part of a batch: it is throttled";
                Err(Error::setup("dynamodb:BatchWriteItem", &self.resource, Kind::Throttled, why))
            })?;
        }
        Ok(())
    }

    /// Tries the calls that objects need, with one that no host has.
    ///
    /// # Errors
    /// If one of them is not possible.
    pub fn try_objects(&self) -> Result<(), Error> {
        let place = Place { input: "check".to_owned(), bucket: "check".to_owned(), key: "check".to_owned() };
        let key = Key { place, etag: "check".to_owned(), version: String::new() };
        self.object(&key)?;
        self.write_batch(&[dynamodb::delete_request(&key.pk(), &key.sk())])?;
        self.page_of_objects(None).map(drop)
    }

    /// The attribute after whose time DynamoDB removes items: [`EXPIRES`], so that the table does not grow for good. None: it removes
    /// none.
    ///
    /// # Errors
    /// If that cannot be seen.
    pub fn time_to_live(&self) -> Result<Option<String>, Error> {
        self.call(dynamodb::time_to_live(&self.address(), &self.name), dynamodb::read_time_to_live)
    }

    /// When an object that is written now is removed, in seconds since 1970.
    pub fn expiry(&self) -> i64 {
        self.now().saturating_add(seconds(LEDGER_AGE_MAX))
    }

    /// Removes the delivered events that are all older.
    fn forget_seen(&self, lease: &Held<'_>, number: u64, before: i64) -> Result<bool, Error> {
        let items = self.query(&pk(lease.source))?;
        let is_old = |item: &&Item| item.number("latest").is_some_and(|latest: i64| latest < before);
        let old = items.iter().filter(is_old).filter_map(|item| item.text("sk"));
        let old = old.filter(|sk| sk.starts_with(SEEN)).map(|sk| self.delete(&pk(lease.source), sk));
        self.write(lease, number, [old.collect()])
    }

    /// Makes some writes in this order, a transaction for as many as one can have, while the lease is held.
    fn write<const N: usize>(
        &self,
        lease: &Held<'_>,
        number: u64,
        groups: [Vec<Value>; N],
    ) -> Result<bool, Error> {
        for writes in chunked(groups, FLEET_WRITES_MAX - 1) {
            let mut all = vec![self.claim(lease, number)];
            all.extend(writes);
            if !self.transact(&all)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The part of a transaction that lets it happen only while the lease is held, and after no later write: a call
    /// that nobody waits for any more may still arrive.
    fn claim(&self, lease: &Held<'_>, write: u64) -> Value {
        let write = u128::from(lease.epoch) << 64 | u128::from(write);
        json!({"Update": {
            "TableName": self.name,
            "Key": Item::of(LEASES, lease.source).into_value(),
            "UpdateExpression": "SET #written = :write",
            "ConditionExpression": format!("{IS_HELD} AND (attribute_not_exists(#written) OR #written <= :write)"),
            "ExpressionAttributeNames": {"#holder": "holder", "#epoch": "epoch", "#written": "written"},
            "ExpressionAttributeValues":
                {":holder": text(lease.holder), ":epoch": number(lease.epoch), ":write": number(write)},
        }})
    }

    fn note(&self, source: &str, note: Note) -> Value {
        self.put(Item::of(&pk(source), NOTE).with("value", text(note.name())))
    }

    fn put(&self, item: Item) -> Value {
        json!({"Put": {"TableName": self.name, "Item": item.into_value()}})
    }

    fn delete(&self, pk: &str, sk: &str) -> Value {
        json!({"Delete": {"TableName": self.name, "Key": Item::of(pk, sk).into_value()}})
    }

    fn query(&self, pk: &str) -> Result<Vec<Item>, Error> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let request = dynamodb::query(&self.address(), &self.name, pk, start.as_ref());
            let page = self.call(request, |body| dynamodb::read_items(body, start.as_ref()))?;
            items.extend(page.items);
            let Some(next) = page.next else { return Ok(items) };
            start = Some(next);
        }
    }

    /// Makes a call. A lease does not wait for retries: a failed call is made again a little later. Only one that met a
    /// transaction, which DynamoDB refuses to wait for, is repeated here.
    fn call<T>(
        &self,
        request: Request,
        mut read: impl FnMut(&[u8]) -> Result<T, Unusable>,
    ) -> Result<T, Error> {
        let (client, limit) = match self.is_patient {
            true => (self.client.clone(), FLEET_COMMAND_TIMEOUT),
            false => (self.client.tried_once(), FLEET_CALL_TIMEOUT),
        };
        let request = Request { response_timeout: limit, time_limit: Some(limit), ..request };
        let mut once = || {
            for _ in 1..FLEET_CONFLICTS_MAX {
                match client.call_and_read(&request, &mut read) {
                    Err(error) if error.is_conflict() => thread::sleep(FLEET_CONFLICT_WAIT),
                    done => return done,
                }
            }
            client.call_and_read(&request, &mut read)
        };
        if self.is_patient { persist(clock::now() + FLEET_COMMAND_PATIENCE, once) } else { once() }
    }

    fn address(&self) -> Address<'_> {
        Address { endpoint: &self.endpoint, region: self.client.region(), resource: &self.resource }
    }

    /// AWS's time, in seconds since 1970.
    pub fn now(&self) -> i64 {
        let now: SystemTime = self.client.clock().now();
        now.duration_since(UNIX_EPOCH).map_or(0, seconds)
    }
}

impl Note {
    fn name(self) -> &'static str {
        match self {
            Note::Forgotten => "forgotten",
            Note::Importing => "importing",
        }
    }

    fn of(name: &str) -> Option<Note> {
        [Note::Forgotten, Note::Importing].into_iter().find(|note| note.name() == name)
    }
}

/// A lease that is held.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    pub source: &'a str,
    pub holder: &'a str,
    pub epoch: u64,
}

/// Repeats a call until the deadline, after growing pauses, as long as its errors may go away by themselves.
pub fn persist<T>(until: Instant, mut call: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut backoff = Backoff::new(FLEET_WATCH_INTERVAL, 8 * FLEET_WATCH_INTERVAL);
    loop {
        match call() {
            Err(error) if error.is_temporary() && clock::now() < until => thread::sleep(backoff.pause()),
            done => return done,
        }
    }
}

/// The outcome of a conditional write: false if its condition does not hold.
fn if_allowed(written: Result<(), Error>) -> Result<bool, Error> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.is_failed_condition() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The lease's attribute `beat`. Version 0.1.0 counts its renewals there and takes a lease whose count stands still; it
/// leaves one alone in which it finds no number.
fn beat_of(holder: &str) -> Value {
    if holder == NOBODY { number(0) } else { text("of its holder") }
}

/// The condition of everything that a holder does.
const IS_HELD: &str = "#holder = :holder AND #epoch = :epoch";

fn pk(source: &str) -> String {
    format!("source/{source}")
}

/// None: it is not as this program writes it, or has no next epoch.
fn lease(item: &Item) -> Option<Lease> {
    Some(Lease {
        source: item.text("sk")?.to_owned(),
        holder: item.text("holder")?.to_owned(),
        epoch: item.number("epoch").filter(|epoch| *epoch < u64::MAX)?,
        meant: item.text("meant").filter(|host| *host != NOBODY).map(str::to_owned),
    })
}

/// Reads a source's items. A value that is no text stands for itself, so that whoever needs it can refuse it.
fn known(items: &[Item]) -> Known {
    let mut known = Known::default();
    for item in items {
        let Some(sk) = item.text("sk") else { continue };
        let value = || item.text("value").map_or_else(|| item.shown("value"), str::to_owned);
        if let Some(part) = sk.strip_prefix(CHECKPOINT) {
            known.polled.checkpoints.insert(part.to_owned(), value());
        } else if sk == ACCOUNT {
            known.account = Some(value());
        } else if sk == NOTE {
            known.note = Note::of(&value());
        } else if sk.starts_with(SEEN) {
            known.polled.seen.extend(unpacked(&item.bytes("ids").unwrap_or_default()));
        }
    }
    // The latest, as many as a source keeps.
    known.polled.seen.sort_by_key(|seen| std::cmp::Reverse(seen.time));
    known.polled.seen.truncate(POLL_SEEN_MAX);
    known
}

/// Reads a host. The item may be another version's, or have been changed by hand. Whatever it has, its host may hold
/// leases, and others must see whether it lives.
fn host(item: &Item) -> Option<Host> {
    let id = item.text("sk")?;
    let lines = |name: &str| -> BTreeSet<String> {
        item.text(name)
            .unwrap_or_default()
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Some(Host {
        id: id.to_owned(),
        name: item.text("name").unwrap_or(id).to_owned(),
        version: item.text("version").unwrap_or("unknown").to_owned(),
        sources: lines("sources"),
        unable: lines("unable"),
        beat: item.number("beat").map_or_else(|| Beat::Odd(item.attribute("beat").cloned()), Beat::Count),
        passing: item.number("passing") == Some(1),
        drained: item.number("drained") == Some(1),
        obeys: item.number("obeys") == Some(1),
        load: Load {
            rate: item.number("rate").unwrap_or_default(),
            messages: item.number("messages").unwrap_or_default(),
            receives: item.number("receives").unwrap_or_default(),
            outage: Duration::ZERO,
        },
    })
}

/// Divides groups, in their order, into chunks of at most `max`. A group that fits into one is not divided.
fn chunked<T, const N: usize>(groups: [Vec<T>; N], max: usize) -> Vec<Vec<T>> {
    let mut chunks: Vec<Vec<T>> = vec![Vec::new()];
    for group in groups {
        let left = chunks.last().map_or(0, |chunk| max - chunk.len());
        if group.len() > left && group.len() <= max {
            chunks.push(Vec::new());
        }
        for item in group {
            match chunks.last_mut().filter(|chunk| chunk.len() < max) {
                Some(chunk) => chunk.push(item),
                None => chunks.push(vec![item]),
            }
        }
    }
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

fn packed(seen: &[Seen]) -> Vec<u8> {
    let each = |seen: &Seen| [&seen.id.to_be_bytes()[..], &seen.time.to_be_bytes()[..]].concat();
    seen.iter().flat_map(each).collect()
}

/// A cut item has what is whole of it.
fn unpacked(bytes: &[u8]) -> Vec<Seen> {
    let one = |bytes: &[u8]| {
        let (id, time) = bytes.split_at(SEEN_BYTES - 8);
        Some(Seen {
            id: u128::from_be_bytes(id.try_into().ok()?),
            time: i64::from_be_bytes(time.try_into().ok()?),
        })
    };
    bytes.chunks_exact(SEEN_BYTES).filter_map(one).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use std::net::SocketAddr;

    use super::*;
    use crate::aws::Provider;
    use crate::http::{self, Body, Response, Server};
    use crate::settings::Endpoints;

    /// A server that answers the table's calls.
    pub fn serve(answer: impl Fn(&http::Request) -> Response + Send + Sync + 'static) -> Server {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Server::start("test-table", address, 100, move |stream, activity: &http::Activity| {
            activity.works();
            let _ = http::serve(stream, |request| answer(request));
        })
        .unwrap()
    }

    /// DynamoDB's answer with this body.
    pub fn response(status: u16, body: &Value) -> Response {
        let headers = vec![("x-amzn-requestid", "r".to_owned())];
        Response { status, headers, body: Body::Owned(body.to_string().into_bytes()) }
    }

    /// A table that no call reaches.
    pub fn nowhere() -> Table {
        at("http://127.0.0.1:9")
    }

    /// A table at this endpoint.
    pub fn at(endpoint: &str) -> Table {
        let http = Http::new(1).unwrap();
        let endpoints = Endpoints { dynamodb: Some(endpoint.to_owned()), ..Endpoints::default() };
        Table::of(Client::with(&http, Provider::anonymous(), "us-east-1", endpoints, &Stop::new()), "t")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tiny_http::{Header, Response, Server};

    use super::*;

    /// A removal whose first calls are refused like this. Returns the number of calls.
    fn leave_after(refusals: usize, code: &str, message: &str) -> (Result<(), Error>, usize) {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let table = testing::at(&format!("http://{}", server.server_addr()));
        let serving = Arc::clone(&server);
        let refusal =
            json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message})
                .to_string();
        let id = Header::from_bytes("x-amzn-RequestId", "R1").unwrap();
        let answering = std::thread::spawn(move || {
            let answer = |(number, request): (usize, tiny_http::Request)| {
                let refused = Response::from_string(&refusal).with_status_code(400);
                let answer =
                    if number < refusals { refused } else { Response::from_string("{\"Attributes\": {}}") };
                request.respond(answer.with_header(id.clone())).unwrap();
            };
            serving.incoming_requests().enumerate().map(answer).count()
        });
        let left = table.leave("h");
        server.unblock();
        (left, answering.join().unwrap())
    }

    #[test]
    fn a_call_that_meets_a_transaction_is_made_again_at_once_and_no_other() {
        let (met, many) = ("TransactionConflictException", FLEET_CONFLICTS_MAX as usize);
        let cancelled = "TransactionCanceledException";
        for (refusals, code, message, works, calls) in [
            (3, met, "Transaction is ongoing for the item", true, 4),
            (3, cancelled, "reasons [TransactionConflict, None]", true, 4),
            (many, met, "", false, many),
            (3, cancelled, "reasons [TransactionConflict, ConditionalCheckFailed]", false, 1),
            (3, "ValidationException", "", false, 1),
        ] {
            let (left, made) = leave_after(refusals, code, message);
            assert_eq!((left.is_ok(), made), (works, calls), "{code} {message}: {left:?}");
        }
    }

    /// A table without items. It refuses the call with this number, if there is one. Returns what the calls were made with.
    fn calls_of<T>(refused: Option<usize>, act: impl FnOnce(&Table) -> T) -> (T, Vec<Value>) {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let table = testing::at(&format!("http://{}", server.server_addr()));
        let serving = Arc::clone(&server);
        let answering = std::thread::spawn(move || {
            let id = Header::from_bytes("x-amzn-RequestId", "R1").unwrap();
            let answer = |(number, mut request): (usize, tiny_http::Request)| {
                let body: Value = serde_json::from_reader(request.as_reader()).unwrap();
                let answer = match body.get("TransactItems") {
                    _ if Some(number) == refused => {
                        Response::from_string(r#"{"__type": "ThrottlingException"}"#).with_status_code(400)
                    }
                    Some(_) => Response::from_string("{}"),
                    None => Response::from_string(r#"{"Items": []}"#),
                };
                request.respond(answer.with_header(id.clone())).unwrap();
                body
            };
            serving.incoming_requests().enumerate().map(answer).collect()
        });
        let done = act(&table);
        server.unblock();
        (done, answering.join().unwrap())
    }

    /// The next import must not take a part of the checkpoints for all of them, nor a host.
    #[test]
    fn an_import_that_ends_too_early_is_noted() {
        let parts = (0..250).map(|number| (number.to_string(), "1".to_owned()));
        let polled = Polled { checkpoints: parts.collect(), ..Polled::default() };
        let known = || Known { polled: polled.clone(), ..Known::default() };
        let notes = |calls: &[Value]| -> Vec<(usize, &'static str)> {
            let kind = |write: &Value| {
                ["Put", "Delete"].into_iter().find(|kind| {
                    let key = if *kind == "Put" { &write["Put"]["Item"] } else { &write["Delete"]["Key"] };
                    key["sk"]["S"] == NOTE
                })
            };
            let kinds = calls.iter().enumerate().filter_map(|(number, call)| {
                Some((number, call["TransactItems"].as_array()?.iter().find_map(kind)?))
            });
            kinds.collect()
        };
        // The leases are read, and one is taken.
        let (restored, calls) = calls_of(None, |table| table.restore("s", known()));
        restored.unwrap();
        assert_eq!((notes(&calls), calls.len()), (vec![(2, "Put"), (6, "Delete")], 7));
        for refused in 3..6 {
            let (restored, calls) = calls_of(Some(refused), |table| table.restore("s", known()));
            assert_eq!((restored.is_err(), notes(&calls)), (true, vec![(2, "Put")]), "{refused}");
        }
        let item = Item::of("source/s", NOTE).with("value", text(Note::Importing.name()));
        assert_eq!(super::known(&[item]).note, Some(Note::Importing));
    }

    #[test]
    fn a_source_that_is_forgotten_is_noted_before_anything_is_removed() {
        let (forgotten, calls) = calls_of(None, |table| table.forget("s"));
        forgotten.unwrap();
        let writes = calls.last().unwrap()["TransactItems"].as_array().unwrap();
        assert_eq!(writes[1]["Put"]["Item"]["value"], text("forgotten"));
    }

    /// A lease needs the answer now, a command needs it at all.
    #[test]
    fn a_command_repeats_a_throttled_call_and_a_host_does_not() {
        let (hosts, calls) = calls_of(Some(0), |table| table.hosts());
        assert_eq!((hosts.is_err(), calls.len()), (true, 1));
        let (hosts, calls) = calls_of(Some(0), |table| table.patient().hosts());
        assert_eq!((hosts.is_ok(), calls.len()), (true, 2));
    }

    /// DynamoDB throttles a batch by carrying out only a part of it.
    #[test]
    fn what_a_batch_leaves_out_is_asked_for_again_after_a_pause() {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let table = testing::at(&format!("http://{}", server.server_addr()));
        let serving = Arc::clone(&server);
        let answering = std::thread::spawn(move || {
            let mut batches = Vec::new();
            for mut request in serving.incoming_requests() {
                let body: Value = serde_json::from_reader(request.as_reader()).unwrap();
                let all = body["RequestItems"]["t"].as_array().unwrap().clone();
                let left = if batches.len() < 2 { json!({"t": all[1..]}) } else { json!({}) };
                batches.push((clock::now(), all.len()));
                let id = Header::from_bytes("x-amzn-RequestId", "R1").unwrap();
                let answer = Response::from_string(json!({"UnprocessedItems": left}).to_string());
                request.respond(answer.with_header(id)).unwrap();
            }
            batches
        });
        let row = |key: usize| {
            let place = Place { input: "1".into(), bucket: "b".into(), key: key.to_string() };
            let content = crate::ledger::Identity { etag: "e".into(), ..Default::default() };
            Row::ended(place, content, 0, crate::ack::Ending::Sent)
        };
        table.forget_rows(&(0..3).map(row).collect::<Vec<_>>()).unwrap();
        server.unblock();
        let batches = answering.join().unwrap();
        assert_eq!(batches.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [3, 2, 1]);
        let pauses: Vec<_> = batches.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(pauses.iter().all(|pause| *pause >= FLEET_WATCH_INTERVAL / 2), "{pauses:?}");
    }

    /// Another version may have written it, or somebody may have changed it. Its host may hold leases.
    #[test]
    fn a_host_is_read_whatever_its_item_has() {
        let item = || Item::of(HOSTS, "h/1").with("sources", text("a\nb"));
        let read = |item: &Item| host(item).unwrap();
        assert_eq!(read(&item()).beat, Beat::Odd(None));
        assert_eq!((read(&item()).name.as_str(), read(&item()).version.as_str()), ("h/1", "unknown"));
        assert_eq!(read(&item().with("beat", number(3))).beat, Beat::Count(3));
        for odd in [text("3"), number("1.5"), number(-1), json!({"M": {"of": text("x")}})] {
            assert_eq!(read(&item().with("beat", odd.clone())).beat, Beat::Odd(Some(odd)));
        }
        let named = read(&item().with("name", text("n")).with("unable", text("b")));
        assert_eq!((named.name.as_str(), named.unable), ("n", BTreeSet::from(["b".to_owned()])));
    }

    /// The writes of the transaction that takes a lease.
    fn writes_of(taking: &Taking) -> Value {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let table = testing::at(&format!("http://{}", server.server_addr()));
        let answering = std::thread::spawn(move || {
            let mut request = server.recv().unwrap();
            let body: Value = serde_json::from_reader(request.as_reader()).unwrap();
            let id = Header::from_bytes("x-amzn-RequestId", "R1").unwrap();
            request.respond(Response::from_string("{}").with_header(id)).unwrap();
            body
        });
        assert_eq!(table.take(taking, "own").unwrap(), Some(8));
        answering.join().unwrap()["TransactItems"].take()
    }

    /// The holder may have beaten since it was last seen, or another host may have taken the lease.
    #[test]
    fn a_lease_is_taken_only_as_it_was_seen_and_while_its_holder_is_silent() {
        let seen = Lease { source: "s".into(), holder: "other".into(), epoch: 7, meant: None };
        let silent =
            |beat: Option<u64>| Some(Silent { host: "other".to_owned(), beat: beat.map(Beat::Count) });
        let taking = |silent| Taking { source: "s".to_owned(), seen: Some(seen.clone()), silent };
        let odd = |attribute| {
            writes_of(&Taking {
                source: "s".to_owned(),
                seen: Some(seen.clone()),
                silent: Some(Silent { host: "other".to_owned(), beat: Some(Beat::Odd(attribute)) }),
            })
        };
        let check = &odd(Some(text("9")))[0]["ConditionCheck"];
        assert_eq!(check["ConditionExpression"], "#beat = :beat");
        assert_eq!(check["ExpressionAttributeValues"][":beat"], text("9"));
        let check = &odd(None)[0]["ConditionCheck"];
        assert_eq!(check["ConditionExpression"], "attribute_exists(pk) AND attribute_not_exists(#beat)");
        assert!(check.get("ExpressionAttributeValues").is_none());
        for (beat, condition) in [(Some(9), "#beat = :beat"), (None, "attribute_not_exists(pk)")] {
            let writes = writes_of(&taking(silent(beat)));
            let check = &writes[0]["ConditionCheck"];
            assert_eq!(check["Key"], Item::of(HOSTS, "other").into_value());
            assert_eq!(check["ConditionExpression"], condition);
            assert_eq!(check["ExpressionAttributeValues"][":beat"]["N"].as_str(), beat.map(|_| "9"));
            assert_eq!(writes.as_array().unwrap().len(), 2);
        }
        let writes = writes_of(&taking(None));
        assert_eq!(writes.as_array().unwrap().len(), 1);
        let update = &writes[0]["Update"];
        assert_eq!(update["ConditionExpression"], "#holder = :seen AND #epoch = :was");
        assert_eq!(update["ExpressionAttributeValues"][":was"]["N"], "7");
        assert_eq!(update["ExpressionAttributeValues"][":seen"]["S"], "other");
    }

    proptest::proptest! {
        /// A host that dies between two transactions leaves no position without the events before it and without what it leaves
        /// out, and removes nothing before that. The few positions of a source that has no groups stay together.
        #[test]
        fn a_mark_that_is_written_in_part_covers_only_what_is_delivered(
            behind in 0usize..300,
            caught_up in 0usize..300,
            groups in 0usize..300,
            seen in 0usize..3 * FLEET_SEEN_PER_ITEM,
        ) {
            let name = |kind: &str, number: usize| format!("{kind}{number}");
            let parts = (0..behind).map(|number| (name("behind m", number), "5".to_owned()));
            let parts = parts.chain((0..behind).map(|number| (format!("{number} (refused)"), "a b".to_owned())));
            let parts = parts.chain((0..caught_up).map(|number| (name("behind n", number), String::new())));
            let parts = parts.chain((0..groups).map(|number| (name("g", number), "7".to_owned())));
            let positions = [(String::new(), "9".to_owned()), ("place".to_owned(), String::new())];
            let pending = Pending {
                account: Some("1".to_owned()),
                checkpoints: parts.chain(positions).collect(),
                seen: vec![Seen { id: 1, time: 2 }; seen],
                forget_before: None,
            };
            let lease = Held { source: "1/s/r", holder: "own", epoch: 3 };
            let chunks = chunked(testing::nowhere().writes_of(&lease, &pending, 4), FLEET_WRITES_MAX - 1);
            let name_of = |write: &Value| {
                let key = write.get("Put").map_or(&write["Delete"]["Key"], |put| &put["Item"]);
                (write.get("Delete").is_some(), key["sk"]["S"].as_str().unwrap().to_owned())
            };
            // How late each kind may come: what covers others has the higher number.
            let rank = |(is_delete, sk): &(bool, String)| match sk.strip_prefix(CHECKPOINT) {
                Some(part) if part.contains(' ') && *is_delete => 3,
                Some(part) if !part.contains(' ') => 2,
                _ => 1,
            };
            let writes: Vec<(bool, String)> = chunks.iter().flatten().map(name_of).collect();
            proptest::prop_assert!(writes.is_sorted_by_key(rank));
            let items = 1 + seen.div_ceil(FLEET_SEEN_PER_ITEM) + pending.checkpoints.len();
            proptest::prop_assert_eq!(writes.len(), items);
            proptest::prop_assert!(chunks.iter().all(|chunk| chunk.len() < FLEET_WRITES_MAX));
            if items < FLEET_WRITES_MAX {
                proptest::prop_assert_eq!(chunks.len(), 1);
            }
            if groups + 2 < FLEET_WRITES_MAX {
                let with = |sk: &str| chunks.iter().position(|chunk| chunk.iter().any(|write| name_of(write).1 == sk));
                proptest::prop_assert_eq!(with(CHECKPOINT), with("checkpoint/place"));
            }
        }

        /// Events come back as they were; a cut item loses only the last of them.
        #[test]
        fn events_survive(events in proptest::collection::vec((0u128.., proptest::num::i64::ANY), 0..50), cut in 0usize..30) {
            let seen: Vec<Seen> = events.iter().map(|(id, time)| Seen { id: *id, time: *time }).collect();
            let bytes = packed(&seen);
            proptest::prop_assert_eq!(unpacked(&bytes), seen.clone());
            let cut = bytes.len().saturating_sub(cut);
            proptest::prop_assert_eq!(unpacked(&bytes[..cut]), &seen[..cut / SEEN_BYTES]);
        }

        /// A checkpoint in the table is as written, or something that no source takes for a position or for nothing.
        #[test]
        fn a_checkpoint_of_another_type_is_not_taken_for_none(number in 0u64.., kind in 0..4) {
            let item = Item::of("source/s", "checkpoint/");
            let item = match kind {
                0 => item,
                1 => item.with("value", number.to_string().into()),
                2 => item.with("value", dynamodb::number(number)),
                _ => item.with("value", dynamodb::bytes(&number.to_be_bytes())),
            };
            let read = known(&[item]).polled.checkpoints.remove("").unwrap();
            proptest::prop_assert!(!read.is_empty() && read.parse::<i64>().is_err(), "{read}");
        }

        /// A lease is read as written, or not at all.
        #[test]
        fn a_lease_of_another_form_is_not_read(epoch in "[0-9]{1,26}|[a-z]{0,3}|-1", kind in 0..3) {
            let epoch_value = if kind == 0 { text(&epoch) } else { number(&epoch) };
            let item = Item::of(LEASES, "1/s/r").with("epoch", epoch_value);
            let item = if kind == 1 { item } else { item.with("holder", text("h")) };
            let expected = epoch.parse().ok().filter(|epoch| kind == 2 && *epoch < u64::MAX);
            proptest::prop_assert_eq!(lease(&item).map(|lease| lease.epoch), expected);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(0u8.., 0..200)) {
            proptest::prop_assert_eq!(unpacked(&bytes).len(), bytes.len() / SEEN_BYTES);
        }
    }
}
