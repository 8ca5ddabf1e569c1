"""What a thumbnail costs `thumb work`, and what it costs the workers that users would write instead: all in turn, on the
same photographs and the same emulator.

    python3 benches/peers/run.py [--thumb BINARY] [--photos DIR] [--images 60] [--rounds 3]

Installs what it needs (requirements.txt, package.json) once, in target/peers, and makes photographs there as telephones
take them unless --photos names others. Prints medians; README.md says of what.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PLACE = TARGET / "peers"
PYTHON = PLACE / "venv/bin/python"
SIZE = (400, 400)
# A worker that takes this long for its images has failed.
PATIENCE_S = 300


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thumb", type=pathlib.Path, default=TARGET / "release/thumb")
    parser.add_argument("--photos", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=60, help="thumbnails a worker makes in a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not args.thumb.exists():
        parser.error(f"{args.thumb} is missing: cargo build --release")
    install()
    # Not sys.executable: in a virtual environment that is a link to the system's.
    if pathlib.Path(sys.prefix).resolve() != PYTHON.parent.parent:
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    photos = sorted(args.photos.glob("*.jpg")) if args.photos else telephone_photos()
    if not photos:
        parser.error(f"there is no .jpg in {args.photos}")
    with tempfile.TemporaryDirectory(prefix="thumb-peers-") as work, Emulator(pathlib.Path(work)):
        compare(args, photos, pathlib.Path(work))


def install():
    """Each requirement once; again when its list has changed."""
    PLACE.mkdir(parents=True, exist_ok=True)
    for name, commands in {
        "requirements.txt": [
            [sys.executable, "-m", "venv", str(PYTHON.parent.parent)],
            [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"],
        ],
        "package.json": [["npm", "install", "--silent", "--no-audit", "--no-fund"]],
    }.items():
        wanted, done = (HERE / name).read_bytes(), PLACE / f"{name}.installed"
        if done.exists() and done.read_bytes() == wanted:
            continue
        print(f"installing {name} in {PLACE}, once", file=sys.stderr)
        (PLACE / name).write_bytes(wanted)
        for command in commands:
            subprocess.run(command, cwd=PLACE, check=True)
        done.write_bytes(wanted)
    # Node looks for modules beside the program.
    shutil.copy(HERE / "worker.mjs", PLACE)


def telephone_photos():
    """The example photographs at 4000x3000, with a sensor's grain and a telephone's quality: 3 to 4 MB each."""
    from PIL import Image, ImageChops, ImageOps

    made = []
    for photo in sorted((ROOT / "examples/photos").glob("*.jpg")):
        path = PLACE / f"12mpx-q92-{photo.name}"
        made.append(path)
        if path.exists():
            continue
        with Image.open(photo) as image:
            large = ImageOps.fit(image.convert("RGB"), (4000, 3000), Image.Resampling.LANCZOS)
        grain = Image.effect_noise(large.size, 4).convert("RGB")
        part = path.with_suffix(".part")
        ImageChops.add(large, grain, offset=-128).save(part, "JPEG", quality=92, subsampling="4:2:0")
        part.rename(path)
    return made


class Emulator:
    """moto on a free port, with the environment that leads every SDK to it."""

    def __init__(self, work):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(work / "moto.log", "wb")
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{self.port}",
            AWS_REGION="us-east-1",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            AWS_EC2_METADATA_DISABLED="true",
        )

    def __enter__(self):
        command = [str(PYTHON), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.server = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.server.poll() is not None:
                break
            time.sleep(0.1)
        self.__exit__()
        sys.exit(f"moto did not start: {pathlib.Path(self.log.name).read_text()}")

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()
        self.log.close()


def compare(args, photos, work):
    import boto3

    files, keys = place(boto3, photos, args.images, work)
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="peers")["QueueUrl"]
    workers = {
        "render": [str(args.thumb), "render", *files, "--size", "%dx%d" % SIZE, "--out", str(work / "out")],
        "thumb": [str(args.thumb), "--config", str(work / "thumb.toml"), "work", "--drain"],
        "python": [str(PYTHON), str(HERE / "worker.py")],
        "node": ["node", str(PLACE / "worker.mjs")],
    }
    # What a worker's start and end cost does not depend on how much lies between.
    idle = {name: measure(command, 0)[1] for name, command in workers.items() if name != "render"}
    figures = {name: [] for name in workers}
    for round_ in range(args.rounds):
        names = list(workers)
        # Each is first and last in turn.
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
            if name != "render":
                enqueue(sqs, url, keys)
            took, cpu = measure(workers[name], len(keys))
            figures[name].append((len(keys) / took, (cpu - idle.get(name, 0)) / len(keys) * 1e3))
            print(f"round {round_ + 1}: {name} {figures[name][-1][1]:.1f} ms", file=sys.stderr)
    report(photos, figures, idle)


def report(photos, figures, idle):
    megabytes = statistics.mean(photo.stat().st_size for photo in photos) / 1e6
    print(f"{len(photos)} photographs of {megabytes:.1f} MB on average, {SIZE[0]}x{SIZE[1]}, {len(figures['thumb'])} rounds")
    print(f"{'':8} {'images/s':>9} {'CPU ms/image':>13} {'beside thumb':>13} {'start, CPU s':>13}   CPU ms/image by round")
    ours = statistics.median(cpu for _, cpu in figures["thumb"])
    for name, rounds in figures.items():
        rate, cpu = (statistics.median(column) for column in zip(*rounds))
        start = f"{idle[name]:.2f}" if name in idle else ""
        each = " ".join(f"{cpu:.1f}" for _, cpu in rounds)
        print(f"{name:8} {rate:9.1f} {cpu:13.1f} {cpu / ours:13.2f} {start:>13}   {each}")


def place(boto3, photos, images, work):
    """The photographs on the disk and in a bucket, under as many names as there are images; a queue; a thumb.toml."""
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    for bucket in ("peers-photos", "peers-thumbnails"):
        s3.create_bucket(Bucket=bucket)
    sqs.create_queue(QueueName="peers-dlq")
    sqs.create_queue(QueueName="peers", Attributes={"VisibilityTimeout": "300"})
    (work / "thumb.toml").write_text('name = "peers"\n[buckets]\nsources = ["peers-photos"]\n')
    files, keys = [], []
    for index in range(images):
        photo = photos[index % len(photos)]
        key = f"{index:05}-{photo.name}"
        (work / key).symlink_to(photo.resolve())
        s3.upload_file(str(photo), "peers-photos", key)
        files.append(str(work / key))
        keys.append(key)
    return files, keys


def enqueue(sqs, url, keys):
    for key in keys:
        body = {"bucket": "peers-photos", "key": key, "width": SIZE[0], "height": SIZE[1]}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))


def measure(command, images):
    """Runs a worker to its end. Seconds from its start to its last thumbnail (a line on stdout each), and CPU seconds."""
    env = {**os.environ, "QUEUE": "peers", "THUMBNAILS": "peers-thumbnails"}
    before, began, last, lines = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0.0, 0
    child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    bound = threading.Timer(PATIENCE_S, child.kill)
    bound.start()
    for _ in child.stdout:
        last, lines = time.monotonic() - began, lines + 1
    bound.cancel()
    if child.wait() != 0 or lines != images:
        sys.exit(f"{' '.join(command)[:200]}: exit code {child.returncode}, {lines} of {images} thumbnails")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return last, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
