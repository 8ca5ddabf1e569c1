//! S3's events about new and removed objects: its event notifications ("Event message structure", S3 user guide), as S3 sends them to a
//! queue or as SNS wraps them ("SNS message formats"), and its events through EventBridge ("EventBridge event message
//! structure"). Unknown fields are ignored: AWS adds fields.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{BadRequest, Message, Source, fields};

/// About an event of another kind.
const NOTHING: &str = "an event that neither stored nor removed anything";

/// The most records in one notification; S3 sends one, but documents a list.
const MAX_RECORDS: usize = 100;

/// An object that was just stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// A [`Source::Object`].
    pub source: Source,
    /// Without its quotation marks.
    pub etag: Option<String>,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectEvent {
    Created(Created),
    /// Deleted, or covered by a delete marker, or expired; a [`Source::Object`].
    Removed(Source),
}

/// Reads a notification; none if the object is not one, and may be a request.
///
/// # Errors
/// It is a notification, but not from S3, or it lacks a field that S3 always sends.
pub fn parse(object: &Map<String, Value>) -> Result<Option<Message>, BadRequest> {
    if object.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Some(Message::Nothing("S3's test event")));
    }
    if object.get("Type").and_then(Value::as_str) == Some("Notification") {
        return enveloped(object).map(Some);
    }
    if object.contains_key("detail-type") {
        return bridged(object).map(Some);
    }
    let Some(records) = object.get("Records") else { return Ok(None) };
    let Value::Array(records) = records else {
        return Err(BadRequest(format!("`Records` must be an array, not {}", fields::kind(records))));
    };
    if records.len() > MAX_RECORDS {
        return Err(BadRequest(format!(
            "`Records` holds {} records; at most {MAX_RECORDS} are accepted",
            records.len()
        )));
    }
    let events = records.iter().filter_map(|record| event(record).transpose()).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(match events.is_empty() {
        true => Message::Nothing(NOTHING),
        false => Message::Event(events),
    }))
}

/// Reads an SNS envelope: the notification is a string in `Message`. Nested envelopes are rejected.
fn enveloped(envelope: &Map<String, Value>) -> Result<Message, BadRequest> {
    let message = envelope
        .get("Message")
        .and_then(Value::as_str)
        .ok_or_else(|| BadRequest("the SNS notification has no `Message`".into()))?;
    let inner = super::object(message).map_err(|why| BadRequest(format!("in the SNS notification, {why}")))?;
    if inner.contains_key("Type") {
        return Err(BadRequest("an SNS notification inside an SNS notification".into()));
    }
    match parse(&inner)? {
        Some(message) => Ok(message),
        None => super::Request::from_object(inner).map(Message::Request),
    }
}

/// Reads an event from EventBridge: S3's "Object Created" or "Object Deleted". Its key is not URL-encoded.
fn bridged(event: &Map<String, Value>) -> Result<Message, BadRequest> {
    let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
    if text("source") != "aws.s3" {
        return Err(BadRequest(format!("an EventBridge event from {:?}, not from aws.s3", text("source"))));
    }
    let kind = text("detail-type");
    if !matches!(kind, "Object Created" | "Object Deleted") {
        return Ok(Message::Nothing(NOTHING));
    }
    let detail = |pointer: &str| event.get("detail")?.pointer(pointer)?.as_str();
    let needed = |pointer: &str| {
        let field = pointer.replace('/', ".");
        detail(pointer).ok_or_else(|| BadRequest(format!("the EventBridge event lacks `detail{field}`")))
    };
    let source = Source::object(needed("/bucket/name")?, needed("/object/key")?)?;
    if kind == "Object Deleted" {
        return Ok(Message::Event(vec![ObjectEvent::Removed(source)]));
    }
    let etag = detail("/object/etag").map(unquoted);
    Ok(Message::Event(vec![ObjectEvent::Created(Created { source, etag })]))
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// What a record says, if it is about a stored or removed object.
fn event(record: &Value) -> Result<Option<ObjectEvent>, BadRequest> {
    let text = |pointer: &str| {
        record.pointer(pointer).and_then(Value::as_str).ok_or_else(|| {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            BadRequest(format!("a record of the S3 event lacks `{field}`"))
        })
    };
    let name = text("/eventName")?;
    // "ObjectCreated:Put"; through EventBridge pipes and some emulators "s3:ObjectCreated:Put".
    let name = name.trim_start_matches("s3:");
    // A lifecycle rule that expires an object has an event of its own ("Supported event types for SQS").
    let removed = ["ObjectRemoved:", "LifecycleExpiration:"].iter().any(|kind| name.starts_with(kind));
    if !removed && !name.starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let encoded = text("/s3/object/key")?;
    let key = decoded_key(encoded)
        .ok_or_else(|| BadRequest(format!("`s3.object.key` is not URL-encoded UTF-8: {encoded:?}")))?;
    let source = Source::object(text("/s3/bucket/name")?, key)?;
    if removed {
        return Ok(Some(ObjectEvent::Removed(source)));
    }
    let etag = record.pointer("/s3/object/eTag").and_then(Value::as_str);
    Ok(Some(ObjectEvent::Created(Created { source, etag: etag.map(unquoted) })))
}

/// Undoes the URL encoding of a key in S3's events, in which `+` is a space; none if the result is not UTF-8.
fn decoded_key(text: &str) -> Option<String> {
    decoded(&text.replace('+', " "))
}

/// Undoes percent-encoding; none if the result is not UTF-8. A `%` without two hexadecimal digits stands for itself.
pub fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}
