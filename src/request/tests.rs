use super::*;
use crate::config::Config;

fn parse(body: &str) -> Request {
    Request::parse(body).unwrap_or_else(|why| panic!("{body}: {why}"))
}

fn size(width: u32, height: u32) -> Size {
    Size::new(width, height)
}

#[test]
fn the_codelabs_message_is_read() {
    let request = parse(r#"{"bucket":"cmsc389l-public","key":"codelab-05/owl.jpg","width":400,"height":300}"#);
    let source = Source::Object { bucket: "cmsc389l-public".into(), key: "codelab-05/owl.jpg".into() };
    assert_eq!(request, Request { source, wanted: Wanted { sizes: vec![size(400, 300).into()], ..Wanted::default() } });
}

#[test]
fn every_request_reads_as_it_is_written() {
    for body in [
        r#"{"bucket":"photos","height":300,"key":"a b/é.jpg","width":400}"#,
        r#"{"bucket":"photos","fit":"contain","key":"k","quality":95,"sizes":[{"height":2,"width":1},{"height":1,"width":2}]}"#,
        r#"{"height":1,"url":"https://example.com/cat.jpg?id=1","width":8192}"#,
        r#"{"bucket":"photos","focus":"smart","key":"k","width":400}"#,
        r#"{"bucket":"photos","focus":{"x":0.25,"y":1.0},"formats":["webp","jpeg"],"height":300,"key":"k"}"#,
        r#"{"bucket":"photos","key":"k","sizes":[{"format":"png","width":1},{"height":1}]}"#,
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
        object(r#""width":0,"height":400"#),
        object(r#""width":400,"height":1000000000"#),
        object(r#""width":400.5,"height":400"#),
        object(r#""width":"400","height":400"#),
        object(r#""width":-1,"height":400"#),
        object(r#""sizes":[]"#),
        object(r#""sizes":[{"format":"png"}]"#),
        object(r#""sizes":[{"width":1,"height":1,"depth":1}]"#),
        object(r#""sizes":["1x1"]"#),
        object(r#""sizes":[{"width":1,"height":1},{"width":1,"height":1}]"#),
        object(&format!(r#""sizes":[{}]"#, [r#"{"width":1,"height":1}"#; 21].join(","))),
        object(r#""sizes":[{"width":1,"height":1}],"width":1,"height":1"#),
        object(r#""width":1,"height":1,"fit":"crop""#),
        object(r#""width":1,"height":1,"quality":101"#),
        object(r#""width":1,"heigth":1,"height":1"#),
        object(r#""width":1,"formats":[]"#),
        object(r#""width":1,"formats":["gif"]"#),
        object(r#""width":1,"formats":["webp","webp"]"#),
        object(r#""width":1,"formats":[1]"#),
        object(r#""width":1,"focus":"middle""#),
        object(r#""width":1,"focus":{"x":2,"y":0}"#),
        object(r#""width":1,"focus":{"x":1}"#),
        object(r#""width":1,"focus":[1,1]"#),
        object(r#""sizes":[{"width":1,"format":"bmp"}]"#),
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
    let targets = request.targets(&settings, "").unwrap();
    let keys: Vec<&str> = targets.iter().map(|target| &*target.key).collect();
    assert_eq!(keys, ["a/k-1x2.jpg", "a/k-3x4.jpg"]);
    assert_eq!(targets[0].spec, Spec { fit: Fit::Fill, quality: 70, ..Spec::new(size(1, 2)) });

    let request = parse(r#"{"bucket":"photos","key":"k","width":1,"height":2,"fit":"contain","quality":90}"#);
    let spec = request.targets(&settings, "").unwrap()[0].spec;
    assert_eq!(spec, Spec { fit: Fit::Contain, quality: 90, ..Spec::new(size(1, 2)) });
}

#[test]
fn every_size_is_made_in_every_format_unless_it_names_one() {
    let text = "name = \"cats\"\n[thumbnail]\nkey = \"{stem}-{version}-{width}x{height}.{format}\"\nformats = [\"webp\"]\nfocus = \"north\"";
    let settings = Config::parse(text, "").unwrap().thumbnail;
    let targets = |rest: &str| {
        let request = parse(&format!(r#"{{"bucket":"photos","key":"k.jpg",{rest}}}"#));
        request.targets(&settings, "5eb6").unwrap()
    };
    let keys = |rest: &str| targets(rest).into_iter().map(|target| target.key).collect::<Vec<_>>();
    assert_eq!(keys(r#""width":4"#), ["k-5eb6-4x.webp"]);
    assert_eq!(
        keys(r#""sizes":[{"width":4,"height":3},{"height":9,"format":"png"}],"formats":["jpeg","webp"]"#),
        ["k-5eb6-4x3.jpg", "k-5eb6-4x3.webp", "k-5eb6-x9.png"]
    );
    assert_eq!(targets(r#""width":4"#)[0].spec.position.to_string(), "north");
    assert_eq!(targets(r#""width":4,"focus":{"x":0,"y":1}"#)[0].spec.position.to_string(), "0,1");
}

#[test]
fn a_format_that_the_key_contradicts_is_refused() {
    let settings =
        Config::parse("name = \"cats\"\n[thumbnail]\nkey = \"{stem}-{width}x{height}.jpg\"", "").unwrap().thumbnail;
    let request = parse(r#"{"bucket":"photos","key":"k","width":1,"formats":["webp"]}"#);
    let why = request.targets(&settings, "").unwrap_err().to_string();
    assert_eq!(why, "the thumbnail's key ends in .jpg, but a thumbnail is webp; write .{format} there");
}

#[test]
fn a_version_is_the_start_of_the_etag_where_that_is_a_hash() {
    assert_eq!(version("d41d8cd98f00b204e9800998ecf8427e"), "d41d8cd98f00b204");
    assert_eq!(version("d41d8cd98f00b204e9800998ecf8427e-7"), "d41d8cd98f00b204");
    assert_eq!(version("W/\"a\"").len(), 16);
    assert_ne!(version("abc"), version("xyz"));
}

#[test]
fn two_thumbnails_never_share_a_key() {
    let text = "name = \"cats\"\n[thumbnail]\nkey = \"{stem}{width}{height}\"";
    let settings = Config::parse(text, "").unwrap().thumbnail;
    let request = parse(r#"{"bucket":"photos","key":"k","sizes":[{"width":11,"height":1},{"width":1,"height":11}]}"#);
    let why = request.targets(&settings, "").unwrap_err().to_string();
    assert_eq!(why, "two thumbnails would have the same key, k111");
}

#[test]
fn a_key_that_grows_beyond_s3s_limit_is_refused() {
    let settings = Config::parse("name = \"cats\"", "").unwrap().thumbnail;
    let request = parse(&format!(r#"{{"bucket":"photos","key":"{}","width":1,"height":1}}"#, "k".repeat(1_024)));
    assert!(request.targets(&settings, "").unwrap_err().to_string().contains("S3 allows 1024"));
}

#[test]
fn a_url_names_its_thumbnail_by_host_path_and_query() {
    let name = |url: &str| Source::url(url).unwrap().origin().key;
    assert_eq!(name("https://example.com/a/caf%C3%A9.jpg"), "example.com/a/café.jpg");
    assert_eq!(name("https://example.com/"), "example.com/index");
    assert_eq!(name("https://example.com/a/"), "example.com/a/index");
    assert_eq!(name("https://example.com:443/a.jpg"), "example.com/a.jpg");
    assert_eq!(name("https://example.com:8443/a.jpg"), "example.com:8443/a.jpg");
    assert_eq!(name("https://example.com/photo.jpg?id=1"), "example.com/photo-d9fc91d45c096b5e.jpg");
    assert_ne!(name("https://example.com/photo?id=1"), name("https://example.com/photo?id=2"));
}

#[test]
fn a_url_and_an_object_of_the_same_name_have_thumbnails_of_their_own() {
    let text = "name = \"cats\"\n[thumbnail]\nkey = \"{bucket}/{dir}{stem}-{width}x{height}.jpg\"";
    let settings = Config::parse(text, "").unwrap().thumbnail;
    let key = |source: &str| {
        let request = parse(&format!(r#"{{{source},"width":1,"height":2}}"#));
        request.targets(&settings, "").unwrap().remove(0).key
    };
    assert_eq!(key(r#""url":"https://example.com/a.jpg""#), "_url/example.com/a-1x2.jpg");
    assert_eq!(key(r#""bucket":"photos","key":"example.com/a.jpg""#), "photos/example.com/a-1x2.jpg");
    // And no bucket can be named so.
    assert!(Source::object(URL_BUCKET, "example.com/a.jpg").is_err());
}

#[test]
fn a_url_is_shown_without_its_secrets() {
    let url = "https://photos.s3.amazonaws.com/a.jpg?X-Amz-Signature=SECRET#part";
    let request = parse(&format!(r#"{{"url":"{url}","width":1,"height":2}}"#));
    assert_eq!(request.source.to_string(), "https://photos.s3.amazonaws.com/a.jpg?…");
    // The message itself keeps it: the worker needs the whole URL.
    assert!(request.to_json().contains("X-Amz-Signature=SECRET"), "{}", request.to_json());
    for bad in ["https://me:SECRET@example.com/", "https://exa mple.com/?SECRET", "me:SECRET@x"] {
        let why = Source::url(bad).unwrap_err().to_string();
        assert!(!why.contains("SECRET"), "{why}");
    }
}

#[test]
fn thumbnails_that_are_too_large_together_are_refused() {
    let sizes = |count: u32| {
        let sizes: Vec<String> =
            (0..count).map(|less| format!(r#"{{"width":8192,"height":{}}}"#, 8192 - less)).collect();
        format!(r#"{{"bucket":"photos","key":"k.jpg","sizes":[{}]}}"#, sizes.join(","))
    };
    assert!(Request::parse(&sizes(1)).is_ok());
    let why = Request::parse(&sizes(20)).unwrap_err().to_string();
    assert_eq!(why, "`sizes` have 1341 million pixels together; at most 67 million are made of one photograph");

    // However the request came about.
    let mut request = parse(&sizes(1));
    request.wanted.sizes.push(size(1, 1).into());
    let settings = Config::parse("name = \"cats\"", "").unwrap().thumbnail;
    assert!(request.targets(&settings, "").unwrap_err().to_string().contains("68 million pixels together"));
}

#[test]
fn a_thumbnails_key_that_s3_could_not_delete_is_refused() {
    let settings = Config::parse("name = \"cats\"", "").unwrap().thumbnail;
    let request = parse(r#"{"bucket":"photos","key":"evil\u0010.jpg","width":10,"height":10}"#);
    let why = request.targets(&settings, "").unwrap_err().to_string();
    assert!(why.starts_with("the thumbnail's key would hold the character \\u{10}, which S3 stores"), "{why}");
}

fn created(bucket: &str, key: &str, etag: Option<&str>) -> ObjectEvent {
    let source = Source::Object { bucket: bucket.into(), key: key.into() };
    ObjectEvent::Created(Created { source, etag: etag.map(str::to_owned) })
}

fn removed(bucket: &str, key: &str) -> ObjectEvent {
    ObjectEvent::Removed(Source::Object { bucket: bucket.into(), key: key.into() })
}

const RECORD: &str = r#"{"eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"photos"},
    "object":{"key":"caf%C3%A9+1%2B1.jpg","size":9,"eTag":"abc"}}}"#;

#[test]
fn an_s3_event_is_the_objects_it_stored_and_removed() {
    let of = |name: &str| {
        format!(r#"{{"eventName":"{name}","s3":{{"bucket":{{"name":"photos"}},"object":{{"key":"x+y"}}}}}}"#)
    };
    let parse = |records: &[&str]| Message::parse(&format!(r#"{{"Records":[{}]}}"#, records.join(","))).unwrap();
    assert_eq!(
        parse(&[RECORD, &of("ObjectRemoved:Delete")]),
        Message::Event(vec![created("photos", "café 1+1.jpg", Some("abc")), removed("photos", "x y")])
    );
    for name in ["s3:ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete"] {
        assert_eq!(parse(&[&of(name)]), Message::Event(vec![removed("photos", "x y")]), "{name}");
    }
    let nothing = Message::Nothing("an event that neither stored nor removed anything");
    assert_eq!(parse(&[&of("ObjectTagging:Put")]), nothing);
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

/// As the S3 user guide shows it ("EventBridge event message structure").
fn bridged(detail_type: &str, source: &str, key: &str) -> String {
    json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": detail_type, "source": source,
        "account": "111122223333", "time": "2021-11-12T00:00:00Z", "region": "ca-central-1",
        "resources": ["arn:aws:s3:::photos"],
        "detail": {
            "version": "0", "bucket": { "name": "photos" },
            "object": {
                "key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "version-id": "IYV3p45BT0ac8hjHg1",
                "sequencer": "00617F08299329D189",
            },
            "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012", "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    })
    .to_string()
}

#[test]
fn an_event_of_s3_through_eventbridge_is_read() {
    // The key is as it is: "+" is a plus, and "%20" is three characters.
    let event = bridged("Object Created", "aws.s3", "a+b %20é.jpg");
    let stored = Message::Event(vec![created("photos", "a+b %20é.jpg", Some("b1946ac92492d2347c6235b4d2611184"))]);
    assert_eq!(Message::parse(&event).unwrap(), stored);
    let envelope = json!({"Type": "Notification", "Message": event}).to_string();
    assert_eq!(Message::parse(&envelope).unwrap(), stored);
    let of = |kind: &str| Message::parse(&bridged(kind, "aws.s3", "a+b.jpg")).unwrap();
    assert_eq!(of("Object Deleted"), Message::Event(vec![removed("photos", "a+b.jpg")]));
    assert_eq!(of("Object Tags Added"), Message::Nothing("an event that neither stored nor removed anything"));
    for (body, why) in [
        (bridged("Object Created", "aws.ec2", "a.jpg"), "an EventBridge event from \"aws.ec2\", not from aws.s3"),
        (
            r#"{"detail-type":"Object Created","source":"aws.s3","detail":{"object":{"key":"k"}}}"#.into(),
            "the EventBridge event lacks `detail.bucket.name`",
        ),
        (
            r#"{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"photos"}}}"#.into(),
            "the EventBridge event lacks `detail.object.key`",
        ),
    ] {
        assert_eq!(Message::parse(&body).unwrap_err().to_string(), why, "{body}");
    }
}

#[test]
fn s3s_test_event_asks_for_nothing() {
    let body = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"photos"}"#;
    assert_eq!(Message::parse(body).unwrap(), Message::Nothing("S3's test event"));
}

#[test]
fn a_record_that_lacks_a_field_is_named() {
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
    assert_eq!(event::decoded("100%+%2").unwrap(), "100%+%2");
    let record = RECORD.replace("caf%C3%A9+1%2B1.jpg", "100%+%2.jpg");
    let event = Message::parse(&format!(r#"{{"Records":[{record}]}}"#)).unwrap();
    assert_eq!(event, Message::Event(vec![created("photos", "100% %2.jpg", Some("abc"))]));
}

#[test]
fn a_message_of_a_mebibyte_is_not_parsed() {
    let request = r#"{"bucket":"photos","key":"k","width":1,"height":1}"#;
    let body = |bytes: usize| format!("{request}{}", " ".repeat(bytes - request.len()));
    assert!(Message::parse(&body(MAX_REQUEST_BYTES)).is_ok());
    let why = Message::parse(&body(1 << 20)).unwrap_err().to_string();
    assert_eq!(why, "the message has 1048576 bytes; at most 262144 are read");
}
