#!/usr/bin/env python3
"""Records the real program at a terminal of 80 columns, before the emulator of the tests: docs/screens/*.txt, *.svg, and
demo.svg, which moves. Needs `pip install "moto[server]" pyte` and a built target/release/thumb.

    python3 scripts/screens.py
"""

import html
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pyte

ROOT = Path(__file__).resolve().parent.parent
THUMB = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "thumb"
OUT = ROOT / "docs" / "screens"
COLUMNS, LINES = 80, 34
PORT = 4790
# What is recorded ends by itself; this is for what does not.
MOST_S = 120
CELL, LINE, MARGIN = 8.4, 18, 14
COLOURS = {
    "black": "#3b4252", "red": "#d1495b", "green": "#4f9d69", "brown": "#c29a3a", "blue": "#5b8bd0",
    "magenta": "#a86fb8", "cyan": "#4aa3a2", "white": "#d8dee9", "default": "#d8dee9",
}
CONFIG = """name = "holiday"
region = "us-east-1"

[buckets]
sources = ["my-photos"]

[thumbnail]
sizes = ["400x400", "150x100"]
"""
PHOTOS = ["life.jpg", "friends.jpg", "picos.jpg", "sunset.jpg", "aitzgorri.jpg"]


class Terminal:
    """A terminal in which commands run one after the other, and what it showed at each moment."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.frames = []

    def type(self, text, pause_s=0.03):
        """Text as a person types it."""
        for letter in text:
            self.feed(letter.encode(), pause_s)

    def feed(self, data, seconds):
        self.stream.feed(data)
        self.frames.append((seconds, self.rows()))

    def run(self, words, answers=(), until_s=MOST_S):
        """Runs `thumb` with these words; each answer is typed where its question stands."""
        self.feed(b"\x1b[1;32m$\x1b[0m ", 0.6)
        self.type("thumb " + " ".join(words) + "\r\n")
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.execve(THUMB, ["thumb", *words], self.environment)
        ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        answers, began, last = list(answers), time.monotonic(), time.monotonic()
        while time.monotonic() - began < until_s:
            if not select.select([terminal], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            now = time.monotonic()
            self.feed(data, min(now - last, 1.0))
            last = now
            if answers and answers[0][0] in "\n".join(text for text, _ in self.rows()):
                os.write(terminal, answers.pop(0)[1].encode() + b"\n")
        else:
            os.kill(child, signal.SIGINT)
        os.waitpid(child, 0)
        os.close(terminal)
        self.feed(b"", 1.5)

    def rows(self):
        """The screen's lines: the text, and the cells with their colours."""
        rows = []
        for number in range(LINES):
            cells = [self.screen.buffer[number][column] for column in range(COLUMNS)]
            rows.append(("".join(cell.data for cell in cells).rstrip(), tuple((c.data, c.fg, c.bold) for c in cells)))
        return rows

    def clear(self):
        self.screen.reset()

    def save(self, name):
        """The screen as it is, as text and as a picture."""
        rows = self.rows()
        while rows and not rows[-1][0]:
            rows.pop()
        (OUT / f"{name}.txt").write_text("\n".join(text for text, _ in rows) + "\n")
        (OUT / f"{name}.svg").write_text(document(len(rows), lines(rows)))


def lines(rows):
    """A group of text elements, a run of cells of one colour each."""
    out = []
    for number, (text, cells) in enumerate(rows):
        if not text:
            continue
        spans, column = [], 0
        while column < len(text):
            end = column
            look = cells[column][1:]
            while end < len(text) and cells[end][1:] == look:
                end += 1
            run = html.escape("".join(cell[0] for cell in cells[column:end]))
            bold = ' font-weight="bold"' if look[1] else ""
            colour = COLOURS.get(look[0], COLOURS["default"])
            if run.strip():
                spans.append(f'<tspan x="{MARGIN + column * CELL:.1f}" fill="{colour}"{bold}>{run}</tspan>')
            column = end
        out.append(f'<text y="{MARGIN + (number + 1) * LINE - 4}" xml:space="preserve">{"".join(spans)}</text>')
    return "".join(out)


def document(height, body, style=""):
    width, tall = 2 * MARGIN + COLUMNS * CELL, 2 * MARGIN + height * LINE
    font = "ui-monospace, 'SF Mono', Menlo, 'DejaVu Sans Mono', monospace"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {tall}" width="{width:.0f}" height="{tall}" '
        f'font-family="{font}" font-size="14"><style>{style}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#1f2430"/>{body}</svg>\n'
    )


def movie(frames, name, most=90):
    """Frames as groups of which one is visible at a time (CSS animation, which browsers play in an image too)."""
    kept = []
    for seconds, rows in frames:
        if kept and kept[-1][1] == rows:
            kept[-1][0] += seconds
        else:
            kept.append([seconds, rows])
    # The shortest frames are left out until there are few enough; their time goes to the frame before.
    while len(kept) > most:
        shortest = min(range(1, len(kept)), key=lambda index: kept[index][0])
        kept[shortest - 1][0] += kept[shortest][0]
        kept.pop(shortest)
    kept[-1][0] += 4
    whole = sum(seconds for seconds, _ in kept)
    style, body, at = [], [], 0.0
    for number, (seconds, rows) in enumerate(kept):
        begin, end = 100 * at / whole, 100 * (at + seconds) / whole
        style.append(
            f"@keyframes f{number}{{0%{{visibility:hidden}}{begin:.3f}%{{visibility:visible}}{end:.3f}%{{visibility:hidden}}}}"
            f".f{number}{{visibility:hidden;animation:f{number} {whole:.1f}s step-end infinite}}"
        )
        body.append(f'<g class="f{number}">{lines(rows)}</g>')
        at += seconds
    (OUT / f"{name}.svg").write_text(document(LINES, "".join(body), "".join(style)))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    support = ROOT / "tests" / "support"
    server = "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, '.'); from strict_moto.server import main; main()"
    emulator = subprocess.Popen(
        [sys.executable, "-c", server, "--port", str(PORT)], cwd=support, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    folder = Path(tempfile.mkdtemp())
    worker = None
    try:
        emulator.stdout.readline()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm-256color", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }
        import boto3

        s3 = boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
                          aws_access_key_id="test", aws_secret_access_key="test")
        s3.create_bucket(Bucket="my-photos")
        for photo in PHOTOS:
            s3.put_object(Bucket="my-photos", Key=f"2026/{photo}", Body=(ROOT / "examples/photos" / photo).read_bytes())
        (folder / "thumb.toml").write_text(CONFIG)
        terminal = Terminal(folder, environment)
        terminal.run(["plan"])
        terminal.save("plan")
        terminal.clear()
        terminal.run(["apply"], [("Only", "yes")])
        terminal.save("apply")
        terminal.clear()
        with open(folder / "worker.log", "wb") as log:
            worker = subprocess.Popen([THUMB, "work"], cwd=folder, env=environment, stdout=log, stderr=log)
        terminal.run(["enqueue", "s3://my-photos/2026/", "--wait"])
        terminal.save("enqueue")
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        terminal.clear()
        terminal.run(["status"])
        terminal.save("status")
        movie(terminal.frames, "demo")
        for number in range(60):
            for photo in PHOTOS:
                s3.copy_object(Bucket="my-photos", Key=f"trip/{number}-{photo}", CopySource=f"my-photos/2026/{photo}")
        s3.put_object(Bucket="my-photos", Key="trip/notes.jpg", Body=b"not a picture")
        subprocess.run([THUMB, "enqueue", "--prefix", "trip/"], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        working = Terminal(folder, environment)
        working.run(["work", "--drain"], until_s=30)
        # A moment in the middle: the status line, and above it what was rejected.
        shows = lambda rows, word: any(word in text for text, _ in rows)
        busy = [rows for _, rows in working.frames if shows(rows, "of about") and shows(rows, "rejected  s3")]
        if busy:
            rows = busy[len(busy) // 2]
            while rows and not rows[-1][0]:
                rows = rows[:-1]
            (OUT / "work.txt").write_text("\n".join(text for text, _ in rows) + "\n")
            (OUT / "work.svg").write_text(document(len(rows), lines(rows)))
    finally:
        if worker and worker.poll() is None:
            worker.kill()
        emulator.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
