"""Packs a built thumb: dist/thumb-VERSION-TARGET.tar.gz, for Linux with glibc a .deb, and SHA256SUMS over all of dist/.

    python3 scripts/package.py TARGET BINARY

The same commit and binary give the same bytes: names are sorted, times are the commit's, owners are root.
Runs BINARY for the manual pages and completions. Needs cargo, and dpkg-deb for the .deb; the standard library only.
"""

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# Debian's names of the CPUs.
DEBIAN_CPUS = {"x86_64": "amd64", "aarch64": "arm64"}
SHELLS = {"bash": "thumb.bash", "zsh": "_thumb", "fish": "thumb.fish", "nushell": "thumb.nu"}
# Where Debian's shells look for completions.
DEBIAN_COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/thumb",
    "zsh": "usr/share/zsh/vendor-completions/_thumb",
    "fish": "usr/share/fish/vendor_completions.d/thumb.fish",
}
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)
OWN_LICENCES = ["LICENSE-MIT", "LICENSE-APACHE"]


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, cwd=ROOT, **options).stdout


def third_party_licences(metadata):
    """The licence texts of every crate that is linked in, each text once, with the crates that have it."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    linked, queue = set(), [metadata["resolve"]["root"]]
    while queue:
        package = queue.pop()
        if package not in linked:
            linked.add(package)
            # A null kind is a normal dependency; others are for builds and tests.
            queue += [d["pkg"] for d in nodes[package]["deps"] if any(k["kind"] is None for k in d["dep_kinds"])]
    texts, without = {}, []
    for package in sorted((packages[id] for id in linked), key=lambda p: (p["name"], p["version"])):
        name = f"{package['name']} {package['version']} ({package['license'] or 'see its licence file'})"
        directory = Path(package["manifest_path"]).parent
        # C libraries that a crate brings along (libwebp) have theirs in its folders.
        files = [f for f in sorted(directory.rglob("*")) if f.is_file() and LICENCE_FILE.match(f.name) and f.suffix != ".rs"]
        if package["source"] is None:
            files = [f for f in files if f.parent == directory]
        for file in files:
            text = file.read_text(errors="replace").strip()
            texts.setdefault(text, []).append(name)
        if not files:
            without.append(name)
    parts = ["thumb contains the following crates, with the licences that their authors have given them.\n"]
    for text, names in texts.items():
        parts.append("=" * 80 + "\n" + "\n".join(dict.fromkeys(names)) + "\n" + "-" * 80 + "\n" + text + "\n")
    if without:
        parts.append("=" * 80 + "\nWithout a licence file of their own; their manifest names the licence:\n" + "\n".join(without) + "\n")
    return "\n".join(parts).encode()


def manual_pages(binary):
    """thumb.1, and a page a command, by file name."""
    main = run(binary, "man")
    commands = main.decode().partition(".SH COMMANDS\n")[2].partition("\n.SH ")[0]
    names = re.findall(r"^\.TP\n\.B (\S+)$", commands, re.MULTILINE)
    if not names:
        sys.exit("package.py: `thumb man` lists no commands")
    return {"thumb.1": main, **{f"thumb-{name}.1": run(binary, "man", name) for name in names}}


def normalised(time):
    def change(info):
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mtime = time
        return info

    return change


def write_archive(path, top, files, time):
    """A .tar.gz of `files` (a path to bytes and mode) in one directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in sorted(files.items()):
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size, info.mode = len(content), mode
            archive.addfile(normalised(time)(info), io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=time))


def write_deb(path, package, cpu, binary, files, pages, time):
    """A Debian package with the program, its pages, completions and licences in Debian's places."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "root"

        def put(name, content, mode=0o644):
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(mode)

        put("usr/bin/thumb", binary, 0o755)
        for name, content in pages.items():
            put(f"usr/share/man/man1/{name}.gz", gzip.compress(content, mtime=time))
        for shell, place in DEBIAN_COMPLETIONS.items():
            put(place, files[f"completions/{SHELLS[shell]}"][0])
        licences = b"\n\n".join(files[name][0] for name in [*OWN_LICENCES, "LICENSES-THIRD-PARTY.txt"])
        put("usr/share/doc/thumb/copyright", licences)
        put("usr/share/doc/thumb/examples/thumb.toml", files["thumb.toml"][0])
        size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
        control = (
            f"Package: thumb\nVersion: {package['version'].replace('-', '~')}\nArchitecture: {cpu}\n"
            # The system's root certificates: without them no call to AWS succeeds.
            "Depends: libc6 (>= 2.17), ca-certificates\n"
            f"Maintainer: thumb <{package['repository']}>\nHomepage: {package['repository']}\n"
            f"Section: graphics\nPriority: optional\nInstalled-Size: {size // 1024}\n"
            f"Description: {package['description']}\n"
        )
        put("DEBIAN/control", control.encode())
        for item in [root, *root.rglob("*")]:
            if item.is_dir():
                item.chmod(0o755)
        environment = {"SOURCE_DATE_EPOCH": str(time), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
        run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(path), env=environment)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    target, binary = sys.argv[1], str(Path(sys.argv[2]).resolve())
    metadata = run("cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}")
    metadata = json.loads(metadata)
    package = next(p for p in metadata["packages"] if p["id"] == metadata["resolve"]["root"])
    time = int(run("git", "log", "-1", "--format=%ct"))

    program, pages = Path(binary).read_bytes(), manual_pages(binary)
    files = {"thumb": (program, 0o755), "LICENSES-THIRD-PARTY.txt": (third_party_licences(metadata), 0o644)}
    for name in ["README.md", "CHANGELOG.md", "thumb.toml", *OWN_LICENCES]:
        files[name] = ((ROOT / name).read_bytes(), 0o644)
    for name, content in pages.items():
        files[f"man/{name}"] = (content, 0o644)
    for shell, name in SHELLS.items():
        files[f"completions/{name}"] = (run(binary, "completions", shell), 0o644)

    DIST.mkdir(exist_ok=True)
    top = f"thumb-{package['version']}-{target}"
    write_archive(DIST / f"{top}.tar.gz", top, files, time)
    cpu, _, system = target.partition("-")
    if system == "unknown-linux-gnu" and shutil.which("dpkg-deb"):
        deb = DIST / f"thumb_{package['version'].replace('-', '~')}_{DEBIAN_CPUS[cpu]}.deb"
        write_deb(deb, package, DEBIAN_CPUS[cpu], program, files, pages, time)

    made = sorted(path for path in DIST.iterdir() if path.name.endswith((".tar.gz", ".deb")))
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made)
    (DIST / "SHA256SUMS").write_text(sums)
    for path in made:
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {path.relative_to(ROOT)}")


main()
