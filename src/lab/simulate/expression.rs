//! DynamoDB's expressions: conditions, and updates.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

/// An item's attributes, in DynamoDB's own form.
pub type Item = Map<String, Value>;

/// The code and message with which a call is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(pub &'static str, pub String);

/// The refusal of a call that is not as DynamoDB wants it.
pub fn invalid(why: String) -> Refusal {
    Refusal("ValidationException", why)
}

/// An expression about an item, read from its beginning.
pub struct Expression<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    /// The part of the call that has the names and values.
    part: &'a Value,
    item: Option<&'a Item>,
}

impl<'a> Expression<'a> {
    /// `part` is the call's part that has `text`. No item: it is not there.
    pub fn new(text: &'a str, part: &'a Value, item: Option<&'a Item>) -> Expression<'a> {
        Expression { tokens: tokens(text), at: 0, part, item }
    }

    /// True if it holds, as a condition.
    ///
    /// # Errors
    /// If it is none.
    pub fn holds(mut self) -> Result<bool, Refusal> {
        let holds = self.any()?;
        match self.tokens.get(self.at) {
            None => Ok(holds),
            Some(rest) => Err(invalid(format!("{rest:?} is left of a condition"))),
        }
    }

    /// The item after it, as an update.
    ///
    /// # Errors
    /// If it is none.
    pub fn updated(mut self) -> Result<Item, Refusal> {
        let mut item = self.item.cloned().unwrap_or_default();
        while self.at < self.tokens.len() {
            let section = self.next()?;
            loop {
                let name = self.name()?;
                match section {
                    "SET" => {
                        self.expect("=")?;
                        drop(item.insert(name, self.sum()?));
                    }
                    "REMOVE" => drop(item.remove(&name)),
                    "ADD" => {
                        let value = self.operand()?.unwrap_or_default();
                        let new = self
                            .item
                            .and_then(|item| item.get(&name))
                            .map_or(Ok(value.clone()), |old| add(old, &value, 1));
                        item.insert(name, new?);
                    }
                    _ => return Err(invalid(format!("an update has no {section:?}"))),
                }
                if !self.take(",") {
                    break;
                }
            }
        }
        Ok(item)
    }

    fn any(&mut self) -> Result<bool, Refusal> {
        let mut holds = self.all()?;
        while self.take("OR") {
            holds |= self.all()?;
        }
        Ok(holds)
    }

    fn all(&mut self) -> Result<bool, Refusal> {
        let mut holds = self.one()?;
        while self.take("AND") {
            holds &= self.one()?;
        }
        Ok(holds)
    }

    fn one(&mut self) -> Result<bool, Refusal> {
        if self.take("NOT") {
            return Ok(!self.one()?);
        }
        if self.take("(") {
            let holds = self.any()?;
            return self.expect(")").map(|()| holds);
        }
        match self.tokens.get(self.at).copied() {
            Some("attribute_exists") => Ok(self.argument()?.is_some()),
            Some("attribute_not_exists") => Ok(self.argument()?.is_none()),
            Some("begins_with") => self.begins_with(),
            _ => self.comparison(),
        }
    }

    /// The only argument of a function.
    fn argument(&mut self) -> Result<Option<Value>, Refusal> {
        self.at += 1;
        self.expect("(")?;
        let value = self.operand()?;
        self.expect(")").map(|()| value)
    }

    fn begins_with(&mut self) -> Result<bool, Refusal> {
        self.at += 1;
        self.expect("(")?;
        let value = self.operand()?;
        self.expect(",")?;
        let start = self.operand()?;
        self.expect(")")?;
        let text =
            |value: &Option<Value>| value.as_ref().and_then(|value| value["S"].as_str().map(str::to_owned));
        Ok(text(&value).zip(text(&start)).is_some_and(|(value, start)| value.starts_with(&start)))
    }

    fn comparison(&mut self) -> Result<bool, Refusal> {
        let left = self.operand()?;
        let operator = self.next()?;
        let right = self.operand()?;
        let order = left.zip(right).and_then(|(left, right)| compared(&left, &right));
        Ok(match operator {
            "=" => order == Some(Ordering::Equal),
            "<>" => order != Some(Ordering::Equal),
            "<" => order.is_some_and(Ordering::is_lt),
            "<=" => order.is_some_and(Ordering::is_le),
            ">" => order.is_some_and(Ordering::is_gt),
            ">=" => order.is_some_and(Ordering::is_ge),
            _ => return Err(invalid(format!("{operator:?} does not compare"))),
        })
    }

    /// A sum or difference of two operands, or one of them.
    fn sum(&mut self) -> Result<Value, Refusal> {
        let missing = || invalid("an operand of an update is not there".to_owned());
        let first = self.operand()?.ok_or_else(missing)?;
        let sign = if self.take("+") {
            1
        } else if self.take("-") {
            -1
        } else {
            return Ok(first);
        };
        add(&first, &self.operand()?.ok_or_else(missing)?, sign)
    }

    /// A value, or what the item has under a name.
    fn operand(&mut self) -> Result<Option<Value>, Refusal> {
        let token = self.tokens.get(self.at).copied().unwrap_or_default();
        if token == "if_not_exists" {
            self.at += 1;
            self.expect("(")?;
            let found = self.operand()?;
            self.expect(",")?;
            let other = self.operand()?;
            return self.expect(")").map(|()| found.or(other));
        }
        if token.starts_with(':') {
            self.at += 1;
            let value = self.part["ExpressionAttributeValues"].get(token).cloned();
            return value.map(Some).ok_or_else(|| invalid(format!("{token} has no value")));
        }
        let name = self.name()?;
        Ok(self.item.and_then(|item| item.get(&name)).cloned())
    }

    fn name(&mut self) -> Result<String, Refusal> {
        let token = self.next()?;
        match token.starts_with('#') {
            true => {
                let name = self.part["ExpressionAttributeNames"][token].as_str();
                name.map(str::to_owned).ok_or_else(|| invalid(format!("{token} has no name")))
            }
            false => Ok(token.to_owned()),
        }
    }

    fn next(&mut self) -> Result<&'a str, Refusal> {
        self.at += 1;
        let token = self.tokens.get(self.at - 1).copied();
        token.ok_or_else(|| invalid("an expression ends too early".to_owned()))
    }

    fn take(&mut self, token: &str) -> bool {
        let is_next = self.tokens.get(self.at) == Some(&token);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, token: &str) -> Result<(), Refusal> {
        let found = self.tokens.get(self.at).copied().unwrap_or_default();
        if self.take(token) {
            Ok(())
        } else {
            Err(invalid(format!("{found:?} stands in place of {token:?}")))
        }
    }
}

fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || "_#:.".contains(c);
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '<' if rest.starts_with("<=") || rest.starts_with("<>") => 2,
            '>' if rest.starts_with(">=") => 2,
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        found.push(token);
        rest = after.trim_start();
    }
    found
}

/// The order of two values. None: they are of different types.
fn compared(left: &Value, right: &Value) -> Option<Ordering> {
    let both = |kind: &str| left[kind].as_str().zip(right[kind].as_str());
    let number = |text: &str| text.parse::<i128>().ok();
    match both("N") {
        Some((left, right)) => Some(number(left)?.cmp(&number(right)?)),
        None => both("S").or(both("B")).map(|(left, right)| left.cmp(right)),
    }
}

fn add(left: &Value, right: &Value, sign: i128) -> Result<Value, Refusal> {
    let number = |value: &Value| value["N"].as_str().and_then(|text| text.parse::<i128>().ok());
    let both = number(left).zip(number(right)).map(|(left, right)| left + sign * right);
    both.map(|sum| json!({"N": sum.to_string()}))
        .ok_or_else(|| invalid(format!("{left} and {right} are not numbers")))
}
