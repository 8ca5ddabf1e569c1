//! Reads a JSON object field by field: errors name their field, and unknown fields are errors.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::BadRequest;

pub struct Fields {
    object: Map<String, Value>,
    /// What the object is, for messages: "the request".
    what: &'static str,
    asked: Vec<&'static str>,
}

impl Fields {
    pub fn new(object: Map<String, Value>, what: &'static str) -> Self {
        Self { object, what, asked: Vec::new() }
    }

    pub fn string(&mut self, name: &'static str) -> Result<Option<String>, BadRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(BadRequest(format!("`{name}` must be a string, not {}", kind(&other)))),
        }
    }

    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Result<Option<u64>, BadRequest> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let given = if value.is_number() { value.to_string() } else { kind(&value).to_owned() };
                let (least, most) = range.into_inner();
                Err(BadRequest(format!("`{name}` must be a whole number from {least} to {most}, not {given}")))
            }
        }
    }

    pub fn value(&mut self, name: &'static str) -> Option<Value> {
        self.take(name)
    }

    pub fn array(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, BadRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(BadRequest(format!("`{name}` must be an array, not {}", kind(&other)))),
        }
    }

    /// Call it after every field has been asked for; fails on unknown ones.
    pub fn finish(self) -> Result<(), BadRequest> {
        match self.object.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                let known = self.asked.join(", ");
                Err(BadRequest(format!("unknown field {unknown:?}; {} takes {known}", self.what)))
            }
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.object.remove(name)
    }
}

/// A JSON value's type, with its article.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
