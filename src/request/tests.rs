use super::*;
use crate::config::Config;

fn parse(body: &str) -> Request {
    Request::parse(body).unwrap_or_else(|why| panic!("{body}: {why}"))
}

fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

#[test]
fn the_codelabs_message_is_read() {
    let request = parse(r#"{"bucket":"cmsc389l-public","key":"codelab-05/owl.jpg","width":400,"height":300}"#);
    let source = Source::Object { bucket: "cmsc389l-public".into(), key: "codelab-05/owl.jpg".into() };
    assert_eq!(request, Request { source, sizes: vec![size(400, 300)], fit: None, quality: None });
}

#[test]
fn every_request_reads_as_it_is_written() {
    for body in [
        r#"{"bucket":"photos","height":300,"key":"a b/é.jpg","width":400}"#,
        r#"{"bucket":"photos","fit":"contain","key":"k","quality":95,"sizes":[{"height":2,"width":1},{"height":1,"width":2}]}"#,
        r#"{"height":1,"url":"https://example.com/cat.jpg?id=1","width":8192}"#,
    ] {
        assert_eq!(parse(body).to_json(), body);
    }
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let object = |rest: &str| format!(r#"{{"bucket":"photos","key":"k.jpg",{rest}}}"#);
    let bodies = [
        "".to_owned(),
        "not json".into(),
        "[1]".into(),
        "{}".into(),
        r#"{"bucket":"photos","width":1,"height":1}"#.into(),
        r#"{"key":"k.jpg","width":1,"height":1}"#.into(),
        r#"{"bucket":"photos","key":"","width":1,"height":1}"#.into(),
        format!(r#"{{"bucket":"photos","key":"{}","width":1,"height":1}}"#, "k".repeat(1_025)),
        r#"{"bucket":"../etc","key":"k","width":1,"height":1}"#.into(),
        r#"{"bucket":"photos","key":"k","url":"https://a/","width":1,"height":1}"#.into(),
        r#"{"url":"file:///etc/passwd","width":1,"height":1}"#.into(),
        r#"{"url":"https://user:secret@example.com/","width":1,"height":1}"#.into(),
        r#"{"url":"cat.jpg","width":1,"height":1}"#.into(),
        object(r#""width":400"#),
        object(r#""height":400"#),
        object(r#""width":0,"height":400"#),
        object(r#""width":400,"height":1000000000"#),
        object(r#""width":400.5,"height":400"#),
        object(r#""width":"400","height":400"#),
        object(r#""width":-1,"height":400"#),
        object(r#""sizes":[]"#),
        object(r#""sizes":[{"width":1}]"#),
        object(r#""sizes":[{"width":1,"height":1,"depth":1}]"#),
        object(r#""sizes":["1x1"]"#),
        object(r#""sizes":[{"width":1,"height":1},{"width":1,"height":1}]"#),
        object(&format!(r#""sizes":[{}]"#, [r#"{"width":1,"height":1}"#; 21].join(","))),
        object(r#""sizes":[{"width":1,"height":1}],"width":1,"height":1"#),
        object(r#""width":1,"height":1,"fit":"crop""#),
        object(r#""width":1,"height":1,"quality":101"#),
        object(r#""width":1,"heigth":1,"height":1"#),
    ];
    let report: Vec<String> = bodies
        .iter()
        .map(|body| {
            let why = Request::parse(body).expect_err(body).to_string();
            let body = if body.len() > 100 { &body[..100] } else { body };
            format!("{body}\n    {why}")
        })
        .collect();
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn a_target_has_its_key_and_the_settings_where_the_request_has_none() {
    let settings = Config::parse("name = \"cats\"\n[thumbnail]\nfit = \"fill\"\nquality = 70", "").unwrap().thumbnail;
    let request =
        parse(r#"{"bucket":"photos","key":"a/k.jpg","sizes":[{"width":1,"height":2},{"width":3,"height":4}]}"#);
    let targets = request.targets(&settings).unwrap();
    let keys: Vec<&str> = targets.iter().map(|target| &*target.key).collect();
    assert_eq!(keys, ["a/k-1x2.jpg", "a/k-3x4.jpg"]);
    assert_eq!(targets[0].spec, Spec { size: size(1, 2), fit: Fit::Fill, quality: 70 });

    let request = parse(r#"{"bucket":"photos","key":"k","width":1,"height":2,"fit":"contain","quality":90}"#);
    assert_eq!(request.targets(&settings).unwrap()[0].spec, Spec { size: size(1, 2), fit: Fit::Contain, quality: 90 });
}

#[test]
fn two_thumbnails_never_share_a_key() {
    let text = "name = \"cats\"\n[thumbnail]\nkey = \"{stem}{width}{height}\"";
    let settings = Config::parse(text, "").unwrap().thumbnail;
    let request = parse(r#"{"bucket":"photos","key":"k","sizes":[{"width":11,"height":1},{"width":1,"height":11}]}"#);
    let why = request.targets(&settings).unwrap_err().to_string();
    assert_eq!(why, "`sizes`: two thumbnails would have the same key, k111");
}

#[test]
fn a_key_that_grows_beyond_s3s_limit_is_refused() {
    let settings = Config::parse("name = \"cats\"", "").unwrap().thumbnail;
    let request = parse(&format!(r#"{{"bucket":"photos","key":"{}","width":1,"height":1}}"#, "k".repeat(1_024)));
    assert!(request.targets(&settings).unwrap_err().to_string().contains("S3 allows 1024"));
}

#[test]
fn a_url_names_its_thumbnail_by_host_path_and_query() {
    let name = |url: &str| Source::url(url).unwrap().name();
    assert_eq!(name("https://example.com/a/caf%C3%A9.jpg"), "example.com/a/café.jpg");
    assert_eq!(name("https://example.com/"), "example.com/index");
    assert_eq!(name("https://example.com/photo.jpg?id=1"), "example.com/photo-d9fc91d4.jpg");
    assert_ne!(name("https://example.com/photo?id=1"), name("https://example.com/photo?id=2"));
}

fn created(bucket: &str, key: &str, etag: Option<&str>) -> Created {
    let source = Source::Object { bucket: bucket.into(), key: key.into() };
    Created { source, etag: etag.map(str::to_owned) }
}

const RECORD: &str = r#"{"eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"photos"},
    "object":{"key":"caf%C3%A9+1%2B1.jpg","size":9,"eTag":"abc"}}}"#;

#[test]
fn an_s3_event_is_the_objects_it_stored() {
    let removed = r#"{"eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"photos"},"object":{"key":"x"}}}"#;
    assert_eq!(
        Message::parse(&format!(r#"{{"Records":[{RECORD},{removed}]}}"#)).unwrap(),
        Message::Event(vec![created("photos", "café 1+1.jpg", Some("abc"))])
    );
    assert_eq!(
        Message::parse(&format!(r#"{{"Records":[{removed}]}}"#)).unwrap(),
        Message::Nothing("an event that stored nothing")
    );
}

#[test]
fn an_sns_envelope_is_opened_once() {
    let envelope = |message: &str| json!({"Type": "Notification", "Message": message, "TopicArn": "arn:…"}).to_string();
    let event = Message::parse(&envelope(&format!(r#"{{"Records":[{RECORD}]}}"#))).unwrap();
    assert_eq!(event, Message::Event(vec![created("photos", "café 1+1.jpg", Some("abc"))]));
    let request = r#"{"bucket":"photos","height":1,"key":"k","width":1}"#;
    assert_eq!(Message::parse(&envelope(request)).unwrap(), Message::Request(parse(request)));
    let why = Message::parse(&envelope(&envelope(request))).unwrap_err().to_string();
    assert_eq!(why, "an SNS notification inside an SNS notification");
}

#[test]
fn s3s_test_event_asks_for_nothing() {
    let body = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"photos"}"#;
    assert_eq!(Message::parse(body).unwrap(), Message::Nothing("S3's test event"));
}

#[test]
fn a_record_that_lacks_what_s3_sends_is_named() {
    for (body, why) in [
        (r#"{"Records":1}"#, "`Records` must be an array, not a number"),
        (r#"{"Records":[{}]}"#, "a record of the S3 event lacks `eventName`"),
        (r#"{"Records":[{"eventName":"ObjectCreated:Put"}]}"#, "a record of the S3 event lacks `s3.object.key`"),
        (
            r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"object":{"key":"%ff"},"bucket":{"name":"b"}}}]}"#,
            "`s3.object.key` is not URL-encoded UTF-8: \"%ff\"",
        ),
    ] {
        assert_eq!(Message::parse(body).unwrap_err().to_string(), why, "{body}");
    }
}

#[test]
fn a_percent_sign_without_its_digits_stands_for_itself() {
    assert_eq!(event::decoded("100%+%2", true).unwrap(), "100% %2");
    assert_eq!(event::decoded("a+b", false).unwrap(), "a+b");
}

#[test]
fn a_message_of_a_mebibyte_is_not_even_read() {
    let request = r#"{"bucket":"photos","key":"k","width":1,"height":1}"#;
    let body = |bytes: usize| format!("{request}{}", " ".repeat(bytes - request.len()));
    assert!(Message::parse(&body(MAX_REQUEST_BYTES)).is_ok());
    let why = Message::parse(&body(1 << 20)).unwrap_err().to_string();
    assert_eq!(why, "the message has 1048576 bytes; at most 262144 are read");
}
