//! `thumb gallery` as a process: of a directory, and of buckets in the emulator.

#[path = "support/moto.rs"]
mod moto;
#[path = "support/stack.rs"]
mod stack;

use std::path::Path;
use std::process::Command;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ObjectCannedAcl;
use stack::{CommandOutput, Stack, photo};

async fn put(stack: &Stack, key: &str, acl: Option<ObjectCannedAcl>) {
    let put = stack.clients.s3.put_object().bucket(stack.thumbnails()).key(key).set_acl(acl);
    put.body(ByteStream::from_static(b"thumbnail")).send().await.unwrap();
}

fn page(stack: &Stack, path: &str) -> String {
    std::fs::read_to_string(stack.toml().with_file_name(path)).unwrap()
}

#[tokio::test]
async fn a_buckets_pages_have_its_public_address() {
    let stack = Stack::new("gallery", "").await;
    // More than one page of a listing.
    for n in 0..1_010 {
        put(&stack, &format!("2026/owl {n:04}-40x30.jpg"), Some(ObjectCannedAcl::PublicRead)).await;
    }
    put(&stack, "notes.txt", None).await;
    let made = stack.thumb(&["gallery"]).ok();
    assert_eq!(made.stdout, "wrote 9 pages with 1,010 pictures and 1,010 thumbnails to gallery/index.html\n");
    assert_eq!(made.stderr, "note: 1 file left out: not named like thumbnails (`key` in thumb.toml)\n");
    let html = page(&stack, "gallery/index.html");
    let address = format!("{}/{}/2026/owl%200000-40x30.jpg", moto_address(&stack), stack.thumbnails());
    assert!(html.contains(&format!("href=\"{address}\"")), "{address}");
    assert!(page(&stack, "gallery/page-9.html").contains("2026/owl 1009"));

    let made = stack.thumb(&["gallery", "--prefix", "2026/owl 00", "--base", "../", "-o", "pages"]).ok();
    assert_eq!(made.stdout, "wrote 1 page with 100 pictures and 100 thumbnails to pages/index.html\n");
    assert!(page(&stack, "pages/index.html").contains("src=\"../2026/owl%200000-40x30.jpg\""));
}

fn moto_address(stack: &Stack) -> String {
    stack.clients.endpoint.clone().unwrap()
}

#[tokio::test]
async fn what_a_browser_cannot_load_is_said() {
    let stack = Stack::new("hidden", "buckets.access = \"private\"").await;
    let empty = stack.thumb(&["gallery"]).ok();
    assert_eq!(empty.stderr, "note: there are no thumbnails; the page is empty\n");
    put(&stack, "owl-40x30.jpg", Some(ObjectCannedAcl::Private)).await;
    let made = stack.thumb(&["gallery"]).ok();
    assert_eq!(
        made.stderr,
        "warning: the thumbnails are not public (`access` is private), so a browser cannot load them from S3. Either copy \
         them and make pages of the copy (`aws s3 sync s3://hidden-thumbnails-123456789012 thumbnails`, `thumb gallery \
         thumbnails`), or serve the bucket, by CloudFront for example, and name its address with --base\n"
    );
    // Where something else serves them, it is not known who may read them.
    let served = stack.thumb(&["gallery", "--base", "https://images.example.com", "--title", "Owls"]).ok();
    assert_eq!(served.stderr, "");
    assert!(page(&stack, "gallery/index.html").contains("src=\"https://images.example.com/owl-40x30.jpg\""));

    let failed = stack.thumb(&["gallery", "--bucket", "no-such-bucket"]).failed(1);
    assert!(failed.stderr.starts_with("error: bucket \"no-such-bucket\" does not exist"), "{failed:?}");
    for words in
        [&["gallery", ".", "--bucket", "b"][..], &["gallery", ".", "--base", "../"], &["gallery", "--base", "x y"]]
    {
        stack.thumb(words).failed(2);
    }
}

/// `thumb render` and `thumb gallery` in a directory without thumb.toml, without AWS.
#[test]
fn the_pages_of_a_directory_are_relative_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let thumb = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thumb"));
        moto::clean(&mut command);
        CommandOutput::new(command.current_dir(dir.path()).args(words).output().unwrap())
    };
    std::fs::write(dir.path().join("life & <co>.jpg"), photo("life.jpg")).unwrap();
    let sizes = ["--size", "60x40", "--size", "120x80", "--size", "120x80.webp"];
    thumb(&[&["render", "life & <co>.jpg", "-o", "t"], &sizes[..]].concat()).ok();
    let made = thumb(&["gallery", "t"]).ok();
    assert_eq!(made.stdout, "wrote 1 page with 1 picture and 3 thumbnails to gallery/index.html\n");
    let html = std::fs::read_to_string(dir.path().join("gallery/index.html")).unwrap();
    assert!(html.contains("srcset=\"../t/life%20%26%20%3Cco%3E-60x40.jpg 60w, ../t/"), "{html}");
    // Every link leads somewhere.
    for href in html.split("href=\"../").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let path = percent_encoding::percent_decode_str(href).decode_utf8().unwrap();
        assert!(dir.path().join(&*path).exists(), "{path}");
    }
    let failed = thumb(&["gallery", "no"]).failed(1);
    assert_eq!(failed.stderr, "error: no is not a directory\n");
    let inside = thumb(&["gallery", "t", "-o", "t"]).ok();
    assert!(inside.stdout.ends_with("to t/index.html\n"), "{inside:?}");
    assert!(Path::new(&dir.path().join("t/index.html")).exists());
}
