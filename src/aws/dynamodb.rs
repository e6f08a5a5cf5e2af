//! DynamoDB over the AWS JSON 1.0 protocol: GetItem, Query, Scan, UpdateItem, PutItem, DeleteItem, BatchWriteItem,
//! TransactWriteItems, DescribeTimeToLive. Pure.
//!
//! Format: the Amazon DynamoDB API reference. A table here has two keys, both texts: `pk` and `sk`.

use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::request::{Address, JsonService, Request};
use super::success::{self, Unusable};

const DYNAMODB: JsonService = JsonService {
    scope: "dynamodb",
    content_type: "application/x-amz-json-1.0",
    target: "DynamoDB_20120810",
};

/// An item, or some of its attributes, in DynamoDB's own form: `{"name": {"S": "text"}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item(Map<String, Value>);

/// A page of a query's items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    pub items: Vec<Item>,
    /// Where the next page starts. None if this is the last one.
    pub next: Option<Value>,
}

impl Item {
    /// An item with these keys and no other attributes.
    pub fn of(pk: &str, sk: &str) -> Item {
        Item::default().with("pk", text(pk)).with("sk", text(sk))
    }

    /// Adds an attribute.
    pub fn with(mut self, name: &str, value: Value) -> Item {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// A text attribute. None if there is none.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("S")?.as_str()
    }

    /// An attribute in DynamoDB's own form, of any kind.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// An attribute in DynamoDB's own form, for people; `none` if there is none.
    pub fn shown(&self, name: &str) -> String {
        self.attribute(name).map_or_else(|| "none".to_owned(), |value| format!("attribute {value}"))
    }

    /// A number. None if there is none, or it is of another kind.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.get("N")?.as_str()?.parse().ok()
    }

    /// A binary attribute. None if there is none.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        STANDARD.decode(self.0.get(name)?.get("B")?.as_str()?).ok()
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// A text as an attribute's value.
pub fn text(value: &str) -> Value {
    json!({ "S": value })
}

/// A number as an attribute's value: DynamoDB sends digits as a text.
pub fn number(value: impl ToString) -> Value {
    json!({ "N": value.to_string() })
}

/// Bytes as an attribute's value.
pub fn bytes(value: &[u8]) -> Value {
    json!({ "B": STANDARD.encode(value) })
}

/// Builds Query: the items with this `pk`, read consistently. `start` is the previous page's [`Items::next`].
pub fn query(address: &Address<'_>, table: &str, pk: &str, start: Option<&Value>) -> Request {
    let input = json!({
        "TableName": table,
        "ConsistentRead": true,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": text(pk)},
    });
    DYNAMODB.call("dynamodb:Query", address, &from(input, start))
}

/// Builds Scan: the items whose `pk` begins with `prefix`. `start` is the previous page's [`Items::next`].
pub fn scan(address: &Address<'_>, table: &str, prefix: &str, start: Option<&Value>) -> Request {
    let input = json!({
        "TableName": table,
        "FilterExpression": "begins_with(pk, :prefix)",
        "ExpressionAttributeValues": {":prefix": text(prefix)},
    });
    DYNAMODB.call("dynamodb:Scan", address, &from(input, start))
}

/// A call's input that begins after the previous page.
fn from(mut input: Value, start: Option<&Value>) -> Value {
    if let Some(start) = start {
        input["ExclusiveStartKey"] = start.clone();
    }
    input
}

/// Builds GetItem, which reads consistently.
pub fn get(address: &Address<'_>, table: &str, pk: &str, sk: &str) -> Request {
    let input = json!({"TableName": table, "Key": Item::of(pk, sk).into_value(), "ConsistentRead": true});
    DYNAMODB.call("dynamodb:GetItem", address, &input)
}

/// Builds BatchWriteItem: at most 25 of [`put_request`] and [`delete_request`], for different items.
pub fn batch_write(address: &Address<'_>, table: &str, requests: &[Value]) -> Request {
    DYNAMODB.call("dynamodb:BatchWriteItem", address, &json!({"RequestItems": {table: requests}}))
}

/// A part of [`batch_write`] that replaces an item.
pub fn put_request(item: Item) -> Value {
    json!({"PutRequest": {"Item": item.into_value()}})
}

/// A part of [`batch_write`] that removes an item, if it is there.
pub fn delete_request(pk: &str, sk: &str) -> Value {
    json!({"DeleteRequest": {"Key": Item::of(pk, sk).into_value()}})
}

/// Builds UpdateItem; `input` has everything but the table. It answers with the whole item.
pub fn update(address: &Address<'_>, table: &str, mut input: Value) -> Request {
    input["TableName"] = table.into();
    input["ReturnValues"] = "ALL_NEW".into();
    DYNAMODB.call("dynamodb:UpdateItem", address, &input)
}

/// Builds PutItem, which replaces an item.
pub fn put(address: &Address<'_>, table: &str, item: Item) -> Request {
    DYNAMODB.call("dynamodb:PutItem", address, &json!({"TableName": table, "Item": item.into_value()}))
}

/// Builds DeleteItem. An item that is not there is no error.
pub fn delete(address: &Address<'_>, table: &str, pk: &str, sk: &str) -> Request {
    let key = Item::of(pk, sk).into_value();
    DYNAMODB.call("dynamodb:DeleteItem", address, &json!({"TableName": table, "Key": key}))
}

/// Builds TransactWriteItems: all of `writes`, at most 100, or none. Each names its table.
pub fn transact(address: &Address<'_>, writes: &[Value]) -> Request {
    let input = json!({ "TransactItems": writes });
    // Its parts are what a policy allows.
    DYNAMODB.call_operation("dynamodb:UpdateItem", "TransactWriteItems", address, &input)
}

/// Builds DescribeTimeToLive.
pub fn time_to_live(address: &Address<'_>, table: &str) -> Request {
    DYNAMODB.call("dynamodb:DescribeTimeToLive", address, &json!({ "TableName": table }))
}

/// Reads DescribeTimeToLive's answer: the attribute whose time ends an item. None: nothing ends one.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_time_to_live(body: &[u8]) -> Result<Option<String>, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        time_to_live_description: Description,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Description {
        time_to_live_status: String,
        attribute_name: Option<String>,
    }
    let Answer { time_to_live_description: told } = success::json::<Answer, Answer>(body)?;
    let is_on = ["ENABLED", "ENABLING"].contains(&told.time_to_live_status.as_str());
    Ok(told.attribute_name.filter(|_| is_on))
}

/// Reads Query's answer about the page that starts at `start`.
///
/// # Errors
/// If it is not what AWS documents. Items come in the order of their keys, so a next page that does not start behind this
/// one's start is not AWS's: the query would never end.
pub fn read_items(body: &[u8], start: Option<&Value>) -> Result<Items, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<T> {
        items: Vec<T>,
        last_evaluated_key: Option<Value>,
    }
    let answer = success::json::<Answer<Map<String, Value>>, Answer<IgnoredAny>>(body)?;
    let next = answer.last_evaluated_key.filter(|key| key.as_object().is_some_and(|key| !key.is_empty()));
    let place = |key: &Value| key["sk"]["S"].as_str().map(str::to_owned);
    if let Some((start, next)) = start.zip(next.as_ref())
        && place(next) <= place(start)
    {
        return Err(Unusable::foreign("its next page does not start behind this one"));
    }
    Ok(Items { items: answer.items.into_iter().map(Item).collect(), next })
}

/// Reads Scan's answer. Its items come in no order.
///
/// # Errors
/// If it is not what AWS documents, or starts again where this page has started: the scan would never end.
pub fn read_scanned(body: &[u8], start: Option<&Value>) -> Result<Items, Unusable> {
    let items = read_items(body, None)?;
    if items.next.is_some() && items.next.as_ref() == start {
        return Err(Unusable::foreign("its next page is this one"));
    }
    Ok(items)
}

/// Reads GetItem's answer. None: there is no such item.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_item(body: &[u8]) -> Result<Option<Item>, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Answer<T> {
        item: Option<T>,
        #[serde(rename = "ConsumedCapacity")]
        _capacity: Option<IgnoredAny>,
    }
    let answer = success::json::<Answer<Map<String, Value>>, Answer<BTreeMap<String, IgnoredAny>>>(body)?;
    Ok(answer.item.map(Item))
}

/// Reads BatchWriteItem's answer: the requests that were not carried out, to be sent again.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_unprocessed(body: &[u8]) -> Result<Vec<Value>, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<T> {
        unprocessed_items: BTreeMap<String, Vec<T>>,
    }
    let answer = success::json::<Answer<Value>, Answer<IgnoredAny>>(body)?;
    Ok(answer.unprocessed_items.into_values().flatten().collect())
}

/// Reads UpdateItem's answer: the item after the update.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_updated(body: &[u8]) -> Result<Item, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<T> {
        attributes: T,
    }
    let answer = success::json::<Answer<Map<String, Value>>, Answer<BTreeMap<String, IgnoredAny>>>(body)?;
    Ok(Item(answer.attributes))
}

/// Reads the answer of a call that returns nothing of interest.
///
/// # Errors
/// If it has anything that DynamoDB does not answer such a call with.
pub fn read_done(body: &[u8]) -> Result<(), Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Done {
        #[serde(rename = "Attributes")]
        _attributes: Option<IgnoredAny>,
        #[serde(rename = "ConsumedCapacity")]
        _capacity: Option<IgnoredAny>,
        #[serde(rename = "ItemCollectionMetrics")]
        _metrics: Option<IgnoredAny>,
    }
    success::json::<Done, Done>(body).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address<'_> = Address { endpoint: "https://e", region: "eu-west-1", resource: "table t" };

    fn body(request: Request) -> String {
        String::from_utf8(request.body).unwrap()
    }

    #[test]
    fn calls_have_the_protocol_s_form() {
        let request = query(&ADDRESS, "t", "leases", None);
        assert_eq!((request.service, request.action), ("dynamodb", "dynamodb:Query"));
        assert!(request.headers.contains(&("x-amz-target", "DynamoDB_20120810.Query".to_owned())));
        insta::assert_snapshot!(
            body(request),
            @r#"{"TableName":"t","ConsistentRead":true,"KeyConditionExpression":"pk = :pk","ExpressionAttributeValues":{":pk":{"S":"leases"}}}"#
        );
        let request = transact(&ADDRESS, &[json!({"Delete": {}})]);
        assert!(
            request.headers.contains(&("x-amz-target", "DynamoDB_20120810.TransactWriteItems".to_owned()))
        );
        insta::assert_snapshot!(
            body(put(&ADDRESS, "t", Item::of("a", "b").with("n", number(7)).with("x", bytes(b"\x00\xff")))),
            @r#"{"TableName":"t","Item":{"pk":{"S":"a"},"sk":{"S":"b"},"n":{"N":"7"},"x":{"B":"AP8="}}}"#
        );
    }

    #[test]
    fn a_page_leads_on() {
        let key = |sk: &str| json!({"pk": {"S": "a"}, "sk": {"S": sk}});
        let answer = |next: &Value| json!({"Items": [], "LastEvaluatedKey": next}).to_string();
        for (next, leads_on) in
            [(key("c"), true), (key("b"), false), (key("a"), false), (json!({"pk": {"S": "a"}}), false)]
        {
            let read = read_items(answer(&next).as_bytes(), Some(&key("b")));
            assert_eq!(read.is_ok(), leads_on, "{read:?}");
        }
    }

    #[test]
    fn what_a_batch_leaves_undone_can_be_sent_again() {
        let requests = [put_request(Item::of("a", "b")), delete_request("c", "d")];
        insta::assert_snapshot!(
            body(batch_write(&ADDRESS, "t", &requests)),
            @r#"{"RequestItems":{"t":[{"PutRequest":{"Item":{"pk":{"S":"a"},"sk":{"S":"b"}}}},{"DeleteRequest":{"Key":{"pk":{"S":"c"},"sk":{"S":"d"}}}}]}}"#
        );
        let answer = json!({"UnprocessedItems": {"t": requests}}).to_string();
        assert_eq!(read_unprocessed(answer.as_bytes()).unwrap(), requests);
        assert_eq!(read_unprocessed(br#"{"UnprocessedItems":{}}"#).unwrap(), Vec::<Value>::new());
        assert!(read_unprocessed(b"{}").is_err(), "another server's answer");
    }

    #[test]
    fn an_item_is_there_or_not() {
        let item = read_item(br#"{"Item":{"pk":{"S":"a"}}}"#).unwrap().unwrap();
        assert_eq!((item.text("pk"), read_item(b"{}").unwrap()), (Some("a"), None));
        assert!(read_item(br#"{"status":"ok"}"#).is_err(), "another server's answer");
    }

    #[test]
    fn items_end_by_an_attribute_or_not_at_all() {
        let answer = |status: &str, name: &str| {
            let told = format!(r#"{{"TimeToLiveDescription":{{"TimeToLiveStatus":"{status}"{name}}}}}"#);
            read_time_to_live(told.as_bytes()).unwrap()
        };
        let name = r#","AttributeName":"expires""#;
        assert_eq!(answer("ENABLED", name).as_deref(), Some("expires"));
        assert_eq!(answer("ENABLING", name).as_deref(), Some("expires"));
        assert_eq!(answer("DISABLING", name), None);
        assert_eq!(answer("DISABLED", ""), None);
        assert!(read_time_to_live(b"{}").is_err(), "another server's answer");
    }

    #[test]
    fn a_scan_ends() {
        let (here, next) = (json!({"pk": {"S": "b"}}), json!({"pk": {"S": "a"}}));
        let answer = json!({"Items": [], "LastEvaluatedKey": here}).to_string();
        assert!(read_scanned(answer.as_bytes(), Some(&here)).is_err());
        assert_eq!(read_scanned(answer.as_bytes(), Some(&next)).unwrap().next, Some(here), "in any order");
    }

    #[test]
    fn items_are_read_whatever_else_they_have() {
        let page = read_items(
            br#"{"Items":[{"pk":{"S":"a"},"n":{"N":"18446744073709551615"},"x":{"B":"AP8="},"l":{"L":[]}}],"Count":1,
                "ScannedCount":1,"LastEvaluatedKey":{"pk":{"S":"a"}}}"#,
            None,
        )
        .unwrap();
        let item = &page.items[0];
        assert_eq!(
            (item.text("pk"), item.number("n"), item.bytes("x")),
            (Some("a"), Some(u64::MAX), Some(vec![0, 255]))
        );
        assert_eq!((item.text("n"), item.number::<u64>("pk"), item.bytes("l")), (None, None, None));
        assert_eq!(page.next, Some(json!({"pk": {"S": "a"}})));
        for last in [
            r#"{"Items":[],"Count":0}"#,
            r#"{"Items":[],"LastEvaluatedKey":null}"#,
            r#"{"Items":[],"LastEvaluatedKey":{}}"#,
        ] {
            assert_eq!(read_items(last.as_bytes(), None).unwrap(), Items { items: vec![], next: None });
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = (read_items(&body, None), read_updated(&body), read_done(&body));
            let _ = (read_scanned(&body, None), read_item(&body), read_unprocessed(&body));
        }

        /// Written attributes come back.
        #[test]
        fn attributes_survive(word in "\\PC{0,40}", count in 0u64.., blob in proptest::collection::vec(0u8.., 0..60)) {
            let item = Item::of("p", "s").with("t", text(&word)).with("n", number(count)).with("b", bytes(&blob));
            let answer = json!({"Items": [item.clone().into_value()], "Count": 1}).to_string();
            let read = read_items(answer.as_bytes(), None).unwrap().items.remove(0);
            proptest::prop_assert_eq!(read.text("t"), Some(word.as_str()));
            proptest::prop_assert_eq!(read.number("n"), Some(count));
            proptest::prop_assert_eq!(read.bytes("b"), Some(blob));
            proptest::prop_assert_eq!(read, item);
        }
    }
}
