use std::process::Command;

use super::*;

fn params() -> Params {
    Params {
        stack: "cats".into(),
        region: "us-east-1".into(),
        bucket: "cats-code".into(),
        key: "thumb-0123abcd".into(),
        sha256: "ab".repeat(32),
        endpoint: None,
        config: "name = \"cats\"\n".into(),
        memory_max_percent: 80,
        grace_s: 30,
    }
}

/// What is hard to quote, in Python, JSON and systemd.
const ODD: &str = "'''\"\"\" ' \\ \\' \\u0027 %n $HOME @UNIT@ @PARAMS@ {}\n\ttab é 漢 😀 \u{7f}\u{2028} \\";

/// Runs Python, which building on AWS's images presumes, and so do these tests.
fn python(arguments: &[&str]) -> String {
    let output = Command::new("python3").args(arguments).output().expect("python3 runs; these tests need it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3 {arguments:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn script(params: &Params) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".py").tempfile().unwrap();
    std::fs::write(file.path(), render(params).unwrap()).unwrap();
    file
}

#[test]
fn parameters_are_read_back() {
    for params in [
        params(),
        Params { endpoint: Some("http://ec2.internal:4566".into()), ..params() },
        Params { config: ODD.into(), stack: ODD.into(), region: ODD.into(), endpoint: Some(ODD.into()), ..params() },
    ] {
        assert_eq!(parse(&render(&params).unwrap()), Some(params));
    }
}

#[test]
fn user_data_of_others_is_not_ours() {
    for text in ["", "#!/bin/sh\necho hello\n", "PARAMS = json.loads(r'{}')", "PARAMS = json.loads(r'", "\u{fffd}"] {
        assert_eq!(parse(text), None, "{text:?}");
    }
}

#[test]
fn the_script_is_the_same_for_all_parameters_and_another_for_another_version() {
    let script = |params: &Params, text: &str| without_params(text, params);
    let plain = params();
    let other =
        Params { grace_s: 300, memory_max_percent: 50, endpoint: Some(ODD.into()), config: ODD.into(), ..params() };
    let (text, other_text) = (render(&plain).unwrap(), render(&other).unwrap());
    assert_eq!(script(&plain, &text), script(&other, &other_text));
    for (before, after) in [("ProtectHome=yes", "ProtectHome=no"), ("MAX_SETTLE_S = 60", "MAX_SETTLE_S = 90")] {
        assert!(text.contains(before));
        assert_ne!(script(&plain, &text), script(&plain, &text.replace(before, after)), "{after}");
    }
}

#[test]
fn python_sees_the_same_parameters() {
    let params = Params { config: ODD.into(), endpoint: Some(ODD.into()), ..params() };
    let file = script(&params);
    let seen = python(&[
        "-c",
        "import json, runpy, sys; found = runpy.run_path(sys.argv[1]); print(json.dumps([found['PARAMS'], found['UNIT']]))",
        file.path().to_str().unwrap(),
    ]);
    let (seen, seen_unit): (Params, String) = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen, params);
    assert_eq!(seen_unit, unit(&params));
}

#[test]
fn what_is_left_out_of_the_script_is_not_missed() {
    let text = compact(
        "#!/usr/bin/python3\n\"\"\"What it is.\n\n# Not a comment.\n\"\"\"\n\n# One.\ndef f():\n    \"\"\"One.\"\"\"\n    return '#'  # kept\n\ndef g():\n    \"\"\"More\n\n    lines.\n    \"\"\"\n    # Two.\n    return \"\"\"x\"\"\"\n",
    );
    let kept = "#!/usr/bin/python3\n\"\"\"What it is.\n\"\"\"\ndef f():\n    return '#'  # kept\ndef g():\n    return \"\"\"x\"\"\"\n";
    assert_eq!(text, kept);
    assert!(!compact(UNIT).contains('#') && compact(UNIT).lines().all(|line| UNIT.lines().any(|of| of == line)));
}

#[test]
fn it_begins_as_cloud_init_wants_a_script_to_begin() {
    let text = render(&params()).unwrap();
    assert!(text.starts_with("#!/usr/bin/python3\n"), "{text}");
    assert!(text.is_ascii());
}

#[test]
fn the_unit_gets_the_region_the_endpoint_and_the_limits() {
    let text = unit(&Params { endpoint: Some("http://user@host:4566/a%20b".into()), ..params() });
    for line in [
        "Environment=\"AWS_REGION=us-east-1\"",
        "Environment=\"AWS_ENDPOINT_URL=http://user\\x40host:4566/a%%20b\"",
        "TimeoutStopSec=45",
        "Type=notify",
        "MemoryMax=80%",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
    for placeholder in ["@ENVIRONMENT@", "@STOP_S@", "@MEMORY_MAX@"] {
        assert!(UNIT.contains(placeholder) && !text.contains(placeholder), "{placeholder} is left in:\n{text}");
    }
    assert!(!unit(&params()).contains("AWS_ENDPOINT_URL"));
}

#[test]
fn the_unit_cannot_be_broken_out_of() {
    let text = unit(&Params { endpoint: Some("x\"\nExecStartPre=/bin/evil\n'''".into()), ..params() });
    assert!(!text.contains('\''), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("ExecStartPre")), "{text}");
}

#[test]
fn there_is_room_for_a_long_configuration_and_no_more_than_ec2_takes() {
    // The most of everything that thumb.toml takes, and a private endpoint.
    let (sources, sizes): (Vec<String>, Vec<String>) =
        (0..50).map(|i| (format!("\"{i:063}\""), format!("\"{}x{}\"", 1_000 + i, 1_000 + i))).unzip();
    let most = format!(
        "name = \"{0}\"\nregion = \"ap-southeast-1\"\nqueue.name = \"{1}\"\nqueue.dlq = \"{2}\"\n\
         [buckets]\nthumbnails = \"{3}\"\ncode = \"{4}\"\nsources = [{5}]\n\
         [thumbnail]\nkey = \"{{bucket}}/{{stem}}-{{width}}x{{height}}{6}.{{format}}\"\nsizes = [{7}]\n\
         formats = [\"jpeg\", \"webp\", \"png\"]\ncache_control = \"{8}\"\nstorage_class = \"INTELLIGENT_TIERING\"\n\
         [worker]\nconcurrency = 256\nmax_memory_bytes = 100000000000\nmax_source_pixels = 1000000000\n",
        "n".repeat(40),
        "q".repeat(80),
        "d".repeat(80),
        "t".repeat(63),
        "c".repeat(63),
        sources.join(", "),
        "k".repeat(86),
        sizes[..20].join(", "),
        "c".repeat(100),
    );
    let most = crate::config::Config::parse(&most, "thumb.toml")
        .unwrap()
        .worker_toml("123456789012", "arn:aws:sns:us-east-1:123456789012:cats-events");
    let endpoint = Some(format!("https://{}.vpce.amazonaws.com", "e".repeat(80)));
    let most = render(&Params { config: most, endpoint, ..params() }).map(|text| compressed(&text).len());
    // A third is left for what cannot be compressed as well as these names.
    assert!(most.as_ref().is_ok_and(|&bytes| bytes <= MAX_BYTES * 2 / 3), "{most:?}");

    let mut random = fastrand::Rng::with_seed(7);
    let noise: String = (0..2 * MAX_BYTES).map(|_| random.alphanumeric()).collect();
    let error = render(&Params { config: noise, ..params() }).unwrap_err();
    assert!(error.bytes > MAX_BYTES);
    assert!(error.to_string().ends_with(&format!("{} more than EC2's 16384", error.bytes - MAX_BYTES)), "{error}");
}

/// boot_test.py runs the script against metadata services and S3 that are late, broken or lying.
#[test]
fn the_script_does_what_it_says() {
    let config = "name = \"cats\" # café\n";
    let file = script(&Params { config: config.into(), ..params() });
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/src/stack/resources/instance/user_data/boot_test.py");
    python(&[tests, file.path().to_str().unwrap()]);
}

#[test]
fn user_data_is_compressed_only_where_it_would_not_fit() {
    let text = render(&params()).unwrap();
    let sent = encode(&text);
    assert_eq!(aws_smithy_types::base64::decode(&sent).unwrap(), text.as_bytes(), "readable in the console");
    assert_eq!(decode(&sent), text);

    let long = render(&Params { config: "a = 1\n".repeat(MAX_BYTES), ..params() }).unwrap();
    let sent = encode(&long);
    let bytes = aws_smithy_types::base64::decode(&sent).unwrap();
    assert!(long.len() > MAX_BYTES && bytes.len() <= MAX_BYTES, "{} of {}", bytes.len(), long.len());
    assert!(bytes.starts_with(&GZIP));
    assert_eq!(decode(&sent), long);
    assert_eq!(encode(&long), sent, "the same text gives the same bytes");
    let bomb = aws_smithy_types::base64::encode(compressed(&"0".repeat(MAX_TEXT_BYTES + 1)));
    assert_eq!((decode(&bomb), decode("H4sI"), decode("")), (String::new(), String::new(), String::new()));
}
