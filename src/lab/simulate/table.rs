//! A table as DynamoDB keeps it: items, conditions, updates, transactions, and queries page by page.
//!
//! Format and semantics: the Amazon DynamoDB API reference and developer guide. A call is carried out as a whole or not
//! at all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::expression::{Expression, Item, Refusal, invalid};

/// Items that one transaction, and one batch of writes, may have.
const TRANSACTION_MAX: usize = 100;
const BATCH_MAX: usize = 25;

/// The two keys of an item.
pub type Key = (String, String);

#[derive(Debug, Default)]
pub struct Table {
    items: BTreeMap<Key, Item>,
}

/// An item before and after a call.
#[derive(Debug)]
pub struct Change {
    pub key: Key,
    pub before: Option<Item>,
    pub after: Option<Item>,
}

/// The answer to a call that was carried out, and what it has changed.
#[derive(Debug, Default)]
pub struct Done {
    pub answer: Value,
    pub changes: Vec<Change>,
}

/// A write of a call: what becomes of an item, if the condition holds.
struct Write<'a> {
    key: Key,
    /// The call's own part about it, with its expressions.
    part: &'a Value,
    what: What,
}

enum What {
    Put(Item),
    Update,
    Delete,
    Check,
}

impl Table {
    /// Carries out a call. A page of a query has at most `page_max` items.
    ///
    /// # Errors
    /// If a condition does not hold, or DynamoDB does not accept the call.
    pub fn call(&mut self, operation: &str, input: &Value, page_max: usize) -> Result<Done, Refusal> {
        match operation {
            "Query" => self.query(input, page_max).map(answered),
            "GetItem" => Ok(answered(self.get(&input["Key"]))),
            "BatchGetItem" => self.batch_get(&input["RequestItems"]).map(answered),
            "PutItem" | "UpdateItem" | "DeleteItem" => self.write_one(operation, input),
            "TransactWriteItems" => self.transact(input["TransactItems"].as_array()),
            "BatchWriteItem" => self.batch_write(&input["RequestItems"]),
            _ => Err(invalid(format!("there is no {operation}"))),
        }
    }

    /// An attribute of an item, in DynamoDB's own form without its type.
    pub fn text(&self, pk: &str, sk: &str, name: &str) -> Option<&str> {
        text_of(self.items.get(&(pk.to_owned(), sk.to_owned())), name)
    }

    /// True if it has an item whose second key begins like this.
    pub fn has(&self, pk: &str, start: &str) -> bool {
        let from = (pk.to_owned(), start.to_owned());
        self.items.range(from..).next().is_some_and(|((found, sk), _)| found == pk && sk.starts_with(start))
    }

    /// The second keys of the items with this first one.
    pub fn keys(&self, pk: &str) -> Vec<String> {
        self.items.keys().filter(|(found, _)| found == pk).map(|(_, sk)| sk.clone()).collect()
    }

    /// Sets an attribute of an item, if it is there: somebody's wish.
    pub fn set(&mut self, pk: &str, sk: &str, name: &str, value: Value) {
        if let Some(item) = self.items.get_mut(&(pk.to_owned(), sk.to_owned())) {
            item.insert(name.to_owned(), value);
        }
    }

    fn get(&self, key: &Value) -> Value {
        key_of(key).ok().and_then(|key| self.items.get(&key)).map_or(json!({}), |item| json!({"Item": item}))
    }

    fn batch_get(&self, tables: &Value) -> Result<Value, Refusal> {
        let mut answer = json!({"Responses": {}, "UnprocessedKeys": {}});
        for (table, asked) in tables.as_object().into_iter().flatten() {
            let keys = asked["Keys"].as_array().into_iter().flatten().map(key_of);
            let keys = keys.collect::<Result<Vec<Key>, Refusal>>()?;
            answer["Responses"][table] = keys.iter().filter_map(|key| self.items.get(key)).cloned().collect();
        }
        Ok(answer)
    }

    fn query(&self, input: &Value, page_max: usize) -> Result<Value, Refusal> {
        let condition = input["KeyConditionExpression"].as_str().unwrap_or_default();
        let start = key_of(&input["ExclusiveStartKey"]).ok();
        let is_wanted = |(key, item): &(&Key, &Item)| {
            let is_behind = start.as_ref().is_none_or(|start| *key > start);
            Ok(is_behind && Expression::new(condition, input, Some(item)).holds()?)
        };
        let most = input["Limit"].as_u64().map_or(page_max, |limit| page_max.min(limit as usize));
        let mut found = Vec::new();
        for (key, item) in &self.items {
            if is_wanted(&(key, item))? {
                found.push((key, item));
            }
        }
        found.truncate(most);
        let items: Vec<&Item> = found.iter().map(|(_, item)| *item).collect();
        let mut answer = json!({"Count": items.len(), "ScannedCount": items.len(), "Items": items});
        // Another page may have nothing.
        if let Some((pk, sk)) = found.last().map(|(key, _)| *key).filter(|_| found.len() == most) {
            answer["LastEvaluatedKey"] = json!({"pk": {"S": pk}, "sk": {"S": sk}});
        }
        Ok(answer)
    }

    fn write_one(&mut self, operation: &str, input: &Value) -> Result<Done, Refusal> {
        let write = Write::read(operation.trim_end_matches("Item"), input)?;
        if !self.allows(&write)? {
            return Err(Refusal(
                "ConditionalCheckFailedException",
                "The conditional request failed".to_owned(),
            ));
        }
        let change = self.carry_out(write)?;
        let returned = change.after.as_ref().filter(|_| input["ReturnValues"] == "ALL_NEW");
        Ok(Done {
            answer: returned.map_or(json!({}), |item| json!({"Attributes": item})),
            changes: vec![change],
        })
    }

    fn transact(&mut self, parts: Option<&Vec<Value>>) -> Result<Done, Refusal> {
        let writes = parts.into_iter().flatten().map(|part| {
            let (name, part) = part.as_object().and_then(|part| part.iter().next()).ok_or_else(nothing)?;
            Write::read(name, part)
        });
        let writes = writes.collect::<Result<Vec<Write<'_>>, Refusal>>()?;
        check_keys(&writes, TRANSACTION_MAX)?;
        let allowed =
            writes.iter().map(|write| self.allows(write)).collect::<Result<Vec<bool>, Refusal>>()?;
        if allowed.contains(&false) {
            let reasons: Vec<&str> =
                allowed.iter().map(|holds| if *holds { "None" } else { "ConditionalCheckFailed" }).collect();
            return Err(cancelled(&reasons.join(", ")));
        }
        let changes = writes.into_iter().map(|write| self.carry_out(write));
        Ok(Done { answer: json!({}), changes: changes.collect::<Result<_, _>>()? })
    }

    fn batch_write(&mut self, tables: &Value) -> Result<Done, Refusal> {
        let parts = tables.as_object().into_iter().flatten().flat_map(|(_, parts)| parts.as_array());
        let writes = parts.flatten().map(|part| match part.get("PutRequest") {
            Some(put) => Write::read("Put", put),
            None => Write::read("Delete", &part["DeleteRequest"]),
        });
        let writes = writes.collect::<Result<Vec<Write<'_>>, Refusal>>()?;
        check_keys(&writes, BATCH_MAX)?;
        let changes = writes.into_iter().map(|write| self.carry_out(write));
        Ok(Done { answer: json!({"UnprocessedItems": {}}), changes: changes.collect::<Result<_, _>>()? })
    }

    fn allows(&self, write: &Write<'_>) -> Result<bool, Refusal> {
        check_names(write.part)?;
        let Some(condition) = write.part["ConditionExpression"].as_str() else { return Ok(true) };
        Expression::new(condition, write.part, self.items.get(&write.key)).holds()
    }

    fn carry_out(&mut self, write: Write<'_>) -> Result<Change, Refusal> {
        let Write { key, part, what } = write;
        let before = self.items.get(&key).cloned();
        let after = match what {
            What::Put(item) => Some(item),
            What::Delete => None,
            What::Check => before.clone(),
            What::Update => {
                let new = json!({"pk": {"S": key.0}, "sk": {"S": key.1}}).as_object().cloned();
                let item = before.clone().or(new).unwrap_or_default();
                let update = part["UpdateExpression"].as_str().unwrap_or_default();
                Some(Expression::new(update, part, Some(&item)).updated()?)
            }
        };
        match after.clone() {
            Some(item) => self.items.insert(key.clone(), item),
            None => self.items.remove(&key),
        };
        Ok(Change { key, before, after })
    }
}

impl<'a> Write<'a> {
    /// Reads a write by its name in a transaction.
    fn read(name: &str, part: &'a Value) -> Result<Write<'a>, Refusal> {
        let (key, what) = match name {
            "Put" => {
                (key_of(&part["Item"])?, What::Put(part["Item"].as_object().cloned().unwrap_or_default()))
            }
            "Update" => (key_of(&part["Key"])?, What::Update),
            "Delete" => (key_of(&part["Key"])?, What::Delete),
            "ConditionCheck" => (key_of(&part["Key"])?, What::Check),
            _ => return Err(invalid(format!("a transaction has no {name}"))),
        };
        Ok(Write { key, part, what })
    }
}

fn answered(answer: Value) -> Done {
    Done { answer, changes: Vec::new() }
}

/// A text or number attribute.
pub fn text_of<'i>(item: Option<&'i Item>, name: &str) -> Option<&'i str> {
    let value = item?.get(name)?;
    value.get("S").or(value.get("N"))?.as_str()
}

fn key_of(item: &Value) -> Result<Key, Refusal> {
    let part = |name: &str| item[name]["S"].as_str().map(str::to_owned);
    part("pk").zip(part("sk")).ok_or_else(|| invalid(format!("{item} has no key")))
}

fn check_keys(writes: &[Write<'_>], most: usize) -> Result<(), Refusal> {
    let keys: BTreeSet<&Key> = writes.iter().map(|write| &write.key).collect();
    match (1..=most).contains(&writes.len()) && keys.len() == writes.len() {
        true => Ok(()),
        false => Err(invalid(format!(
            "{} writes of {} items at once, of at most {most}",
            writes.len(),
            keys.len()
        ))),
    }
}

/// DynamoDB refuses names and values that no expression uses.
fn check_names(part: &Value) -> Result<(), Refusal> {
    let expressions = ["ConditionExpression", "UpdateExpression", "KeyConditionExpression"];
    let used: String = expressions.iter().filter_map(|name| part[*name].as_str()).collect();
    let given = ["ExpressionAttributeNames", "ExpressionAttributeValues"].iter();
    let mut given = given.filter_map(|name| part[*name].as_object()).flat_map(Map::keys);
    match given.find(|name| !used.contains(name.as_str())) {
        Some(name) => Err(invalid(format!("{name} is not used in {used:?}"))),
        None => Ok(()),
    }
}

/// The refusal of a transaction, with the reason of each write.
pub fn cancelled(reasons: &str) -> Refusal {
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{reasons}]");
    Refusal("TransactionCanceledException", message)
}

fn nothing() -> Refusal {
    invalid("a write is empty".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sk: &str) -> Value {
        json!({"pk": {"S": "p"}, "sk": {"S": sk}})
    }

    fn put(table: &mut Table, sk: &str, n: u64) {
        let mut item = key(sk);
        item["n"] = json!({"N": n.to_string()});
        table.call("PutItem", &json!({"Item": item}), 10).unwrap();
    }

    fn raised(sk: &str, from: &str) -> Value {
        json!({
            "Key": key(sk),
            "UpdateExpression": "SET #n = #n + :one, seen = if_not_exists(seen, :one)",
            "ConditionExpression": "attribute_exists(pk) AND (#n = :from OR NOT attribute_exists(#n))",
            "ExpressionAttributeNames": {"#n": "n"},
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":from": {"N": from}},
            "ReturnValues": "ALL_NEW",
        })
    }

    #[test]
    fn an_update_needs_its_condition() {
        let mut table = Table::default();
        let failed = |outcome: Result<Done, Refusal>| outcome.unwrap_err().0;
        assert_eq!(
            failed(table.call("UpdateItem", &raised("a", "1"), 10)),
            "ConditionalCheckFailedException"
        );
        put(&mut table, "a", 1);
        let done = table.call("UpdateItem", &raised("a", "1"), 10).unwrap();
        assert_eq!(done.answer["Attributes"]["n"], json!({"N": "2"}));
        assert_eq!((table.text("p", "a", "n"), table.text("p", "a", "seen")), (Some("2"), Some("1")));
        assert_eq!(
            failed(table.call("UpdateItem", &raised("a", "1"), 10)),
            "ConditionalCheckFailedException"
        );
        let mut odd = raised("a", "2");
        odd["ExpressionAttributeValues"][":more"] = json!({"N": "1"});
        assert_eq!(failed(table.call("UpdateItem", &odd, 10)), "ValidationException");
    }

    #[test]
    fn a_transaction_happens_as_a_whole_or_not_at_all() {
        let mut table = Table::default();
        put(&mut table, "a", 1);
        let check = |n: &str| {
            json!({"ConditionCheck": {"Key": key("a"), "ConditionExpression": "n = :n",
                "ExpressionAttributeValues": {":n": {"N": n}}}})
        };
        let all = |n| json!({"TransactItems": [check(n), {"Put": {"Item": key("b")}}]});
        let refusal = table.call("TransactWriteItems", &all("2"), 10).unwrap_err();
        assert!(refusal.1.ends_with("[ConditionalCheckFailed, None]"), "{refusal:?}");
        assert_eq!(table.get(&key("b")), json!({}));
        table.call("TransactWriteItems", &all("1"), 10).unwrap();
        assert_eq!(table.get(&key("b")), json!({"Item": key("b")}));
        let twice = json!({"TransactItems": [{"Delete": {"Key": key("a")}}, {"Delete": {"Key": key("a")}}]});
        assert_eq!(table.call("TransactWriteItems", &twice, 10).unwrap_err().0, "ValidationException");
    }

    #[test]
    fn a_query_comes_in_pages() {
        let mut table = Table::default();
        ["a/1", "a/2", "a/3", "b/1"].iter().for_each(|sk| put(&mut table, sk, 1));
        let (mut found, mut start) = (Vec::new(), None);
        loop {
            let mut input = json!({
                "KeyConditionExpression": "pk = :pk AND begins_with(sk, :a)",
                "ExpressionAttributeValues": {":pk": {"S": "p"}, ":a": {"S": "a/"}},
            });
            if let Some(start) = start {
                input["ExclusiveStartKey"] = start;
            }
            let page = table.call("Query", &input, 2).unwrap().answer;
            found.extend(page["Items"].as_array().unwrap().iter().map(|item| item["sk"]["S"].clone()));
            let Some(next) = page.get("LastEvaluatedKey") else { break };
            start = Some(next.clone());
        }
        assert_eq!(found, ["a/1", "a/2", "a/3"]);
    }

    #[test]
    fn a_batch_is_written_and_read() {
        let mut table = Table::default();
        put(&mut table, "old", 1);
        let batch = json!({"RequestItems": {"t": [{"PutRequest": {"Item": key("new")}},
            {"DeleteRequest": {"Key": key("old")}}]}});
        table.call("BatchWriteItem", &batch, 10).unwrap();
        let asked = json!({"RequestItems": {"t": {"Keys": [key("new"), key("old")]}}});
        let answer = table.call("BatchGetItem", &asked, 10).unwrap().answer;
        assert_eq!(answer["Responses"]["t"], json!([key("new")]));
    }
}
