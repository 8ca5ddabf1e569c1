#!/bin/sh
# Installs a released thumb into ~/.local/bin, without root:
#
#     curl --proto '=https' --tlsv1.2 -fsSL https://github.com/thumb-rs/thumb/releases/latest/download/install.sh | sh
#
# It downloads the archive for this system and SHA256SUMS, compares the hash, and only then puts the program in place.
# Environment:
#   THUMB_VERSION    the release, such as 0.1.0; default: the newest
#   PREFIX           installs into $PREFIX/bin; default: ~/.local
#   THUMB_RELEASES   where the releases are: a mirror with the same paths as GitHub's (download/v0.1.0/FILE and
#                    latest/download/FILE)
#   THUMB_LIBC       gnu or musl, on Linux; default: gnu where there is a glibc, else musl
# Exit codes: 0 installed, 1 not, with the reason on stderr. Nothing is left behind that was not verified.

set -eu

# How long one transfer may take, and the connection before it, in seconds.
MAX_TRANSFER=600
MAX_CONNECT=30

say() {
    printf 'install.sh: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# download URL FILE
download() {
    case $1 in
        http://127.0.0.1:* | http://localhost:*) protocols='=http' ;;
        *) protocols='=https' ;;
    esac
    if has curl; then
        curl --proto "$protocols" --tlsv1.2 --fail --silent --show-error --location --retry 3 \
            --connect-timeout "$MAX_CONNECT" --max-time "$MAX_TRANSFER" --output "$2" "$1"
    elif has wget; then
        [ "$protocols" = '=http' ] || case $1 in https://*) ;; *) fail "$1 is not https" ;; esac
        wget --quiet --tries=3 --timeout="$MAX_CONNECT" --output-document="$2" "$1"
    else
        fail "curl or wget is needed, and neither is here"
    fi || fail "cannot download $1"
}

# sha256 FILE
sha256() {
    if has sha256sum; then
        sha256sum "$1"
    elif has shasum; then
        shasum -a 256 "$1"
    else
        fail "sha256sum or shasum is needed to verify the download, and neither is here"
    fi | cut -d ' ' -f 1
}

# The release's name of this system.
target() {
    case $(uname -m) in
        x86_64 | amd64) cpu=x86_64 ;;
        aarch64 | arm64) cpu=aarch64 ;;
        *) fail "there is no release for the CPU $(uname -m); build it from source" ;;
    esac
    case $(uname -s) in
        Linux)
            libc=${THUMB_LIBC:-}
            if [ -z "$libc" ]; then
                # musl's loader where glibc's is not: Alpine.
                libc=gnu
                ls /lib64/ld-linux-* /lib/ld-linux-* >/dev/null 2>&1 || getconf GNU_LIBC_VERSION >/dev/null 2>&1 || libc=musl
            fi
            case $libc in gnu | musl) ;; *) fail "THUMB_LIBC is \"$libc\", but gnu and musl are all there is" ;; esac
            echo "$cpu-unknown-linux-$libc"
            ;;
        Darwin) echo "$cpu-apple-darwin" ;;
        *) fail "there is no release for $(uname -s); thumb runs on Linux and macOS" ;;
    esac
}

# The line of SHA256SUMS that ends in the archive for $1: "HASH  thumb-VERSION-TARGET.tar.gz".
entry() {
    grep -E "^[0-9a-f]{64}  thumb-[0-9A-Za-z.+-]+-$1\.tar\.gz\$" "$2" | head -n 1
}

main() {
    [ "$#" -eq 0 ] || fail "it takes no arguments; its environment variables are at the top of the file"
    releases=${THUMB_RELEASES:-https://github.com/thumb-rs/thumb/releases}
    version=${THUMB_VERSION:-}
    version=${version#v}
    case $version in
        "") from=$releases/latest/download ;;
        *[!0-9A-Za-z.+-]*) fail "THUMB_VERSION is \"$version\", which is no version" ;;
        *) from=$releases/download/v$version ;;
    esac
    [ -n "${PREFIX:-}" ] || [ -n "${HOME:-}" ] || fail "set PREFIX: HOME is not set"
    bin=${PREFIX:-$HOME/.local}/bin
    target=$(target)

    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
    trap 'exit 1' HUP INT TERM

    download "$from/SHA256SUMS" "$directory/SHA256SUMS"
    line=$(entry "$target" "$directory/SHA256SUMS") || true
    [ -n "$line" ] || fail "$from has no archive for $target"
    expected=${line%% *}
    archive=${line##* }

    say "downloading $archive"
    download "$from/$archive" "$directory/$archive"
    actual=$(sha256 "$directory/$archive")
    [ "$actual" = "$expected" ] || fail "$archive is damaged or was tampered with, and is not installed:
    SHA-256 $actual
    expected $expected"

    top=${archive%.tar.gz}
    tar -xzf "$directory/$archive" -C "$directory" "$top/thumb" || fail "cannot unpack $archive"
    shown=$("$directory/$top/thumb" --version) || fail "$archive does not run on this system; THUMB_LIBC=musl may"
    mkdir -p "$bin"
    # Renamed within one directory, so that a running thumb is replaced whole or not at all.
    new=$bin/.thumb.$$
    trap 'rm -rf "$directory" "$new"' EXIT
    cp "$directory/$top/thumb" "$new"
    chmod 755 "$new"
    mv -f "$new" "$bin/thumb"

    say "installed $shown as $bin/thumb"
    case :${PATH:-}: in
        *:"$bin":*) ;;
        *) say "$bin is not in PATH yet: export PATH=\"$bin:\$PATH\"" ;;
    esac
}

# In a function, and called in the last line: a download that breaks off runs nothing.
main "$@"
