//! What S3 says of new objects: its event notifications ("Event message structure", S3 user guide), as S3 sends them to a
//! queue, or as SNS wraps them ("SNS message formats"); and its events by way of EventBridge ("EventBridge event message
//! structure"). Fields we do not know are AWS's own additions and pass.

use serde_json::{Map, Value};

use super::{BadRequest, Message, Source, fields};

/// Records in one notification; S3 sends one, and promises no more than "Records".
const MAX_RECORDS: usize = 100;

/// An object that was just stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// A [`Source::Object`].
    pub source: Source,
    /// Without its quotation marks.
    pub etag: Option<String>,
}

/// Reads a notification; none: the object is none, but perhaps a request.
///
/// # Errors
/// It is a notification, but not one of S3, or one that lacks what S3 always sends.
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
        return Err(BadRequest(format!("`Records` holds {} records; at most {MAX_RECORDS} are taken", records.len())));
    }
    let created = records.iter().filter_map(|record| created(record).transpose()).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(match created.is_empty() {
        true => Message::Nothing("an event that stored nothing"),
        false => Message::Event(created),
    }))
}

/// SNS's envelope: the notification is a text in `Message`. An envelope in an envelope is nobody's.
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

/// EventBridge's event: "Object Created" of S3. The key stands in it as it is, not URL-encoded.
fn bridged(event: &Map<String, Value>) -> Result<Message, BadRequest> {
    let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
    if text("source") != "aws.s3" {
        return Err(BadRequest(format!("an EventBridge event of {:?}, not of aws.s3", text("source"))));
    }
    if text("detail-type") != "Object Created" {
        return Ok(Message::Nothing("an event that stored nothing"));
    }
    let detail = |pointer: &str| event.get("detail")?.pointer(pointer)?.as_str();
    let needed = |pointer: &str| {
        let field = pointer.replace('/', ".");
        detail(pointer).ok_or_else(|| BadRequest(format!("the EventBridge event lacks `detail{field}`")))
    };
    let source = Source::object(needed("/bucket/name")?, needed("/object/key")?)?;
    let etag = detail("/object/etag").map(unquoted);
    Ok(Message::Event(vec![Created { source, etag }]))
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// A record's object, if the record says that one was stored.
fn created(record: &Value) -> Result<Option<Created>, BadRequest> {
    let text = |pointer: &str| {
        record.pointer(pointer).and_then(Value::as_str).ok_or_else(|| {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            BadRequest(format!("a record of the S3 event lacks `{field}`"))
        })
    };
    let name = text("/eventName")?;
    // "ObjectCreated:Put"; through EventBridge pipes and some emulators "s3:ObjectCreated:Put".
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let encoded = text("/s3/object/key")?;
    let key = decoded(encoded, true)
        .ok_or_else(|| BadRequest(format!("`s3.object.key` is not URL-encoded UTF-8: {encoded:?}")))?;
    let source = Source::object(text("/s3/bucket/name")?, key)?;
    let etag = record.pointer("/s3/object/eTag").and_then(Value::as_str);
    Ok(Some(Created { source, etag: etag.map(unquoted) }))
}

/// Undoes URL encoding; none if what comes out is not UTF-8. With `plus`, `+` is a space, as in S3's events. A `%`
/// that no two hexadecimal digits follow stands for itself.
pub fn decoded(text: &str, plus: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = digit(at + 1).zip(digit(at + 2)).filter(|_| byte == b'%');
        match pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(if plus && byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}
