"""Runs `thumb work` and what users would write instead of it, in turn, on the same photographs and the same emulator.

    python3 run.py THUMB_BINARY PHOTOS_DIR [--images 100] [--rounds 3]

Needs requirements.txt, `npm install` here, and an emulator: AWS_ENDPOINT_URL, or moto_server on a port of its own.
Prints for each worker the median images a second and CPU milliseconds a thumbnail; `render` is the engine alone, on
the same files.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import boto3

HERE = pathlib.Path(__file__).parent
SIZE = (400, 400)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("thumb", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("photos", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    work = pathlib.Path(tempfile.mkdtemp(prefix="thumb-peers-"))
    files, keys = place(args, work)
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="peers")["QueueUrl"]
    workers = {
        "render": [args.thumb, "render", *files, "--size", "%dx%d" % SIZE, "--out", str(work / "out")],
        "thumb": [args.thumb, "--config", str(work / "thumb.toml"), "work", "--drain"],
        "python": [sys.executable, str(HERE / "worker.py")],
        "node": ["node", str(HERE / "worker.mjs")],
    }
    figures = {name: [] for name in workers}
    for _ in range(args.rounds):
        for name, command in workers.items():
            if name != "render":
                enqueue(sqs, url, keys)
            figures[name].append(measure(command, len(keys)))
    for name, rounds in figures.items():
        rate, cpu = (statistics.median(column) for column in zip(*rounds))
        print(f"{name:8} {rate:7.1f} images/s {cpu:7.1f} ms CPU/image   {[round(cpu, 1) for _, cpu in rounds]}")


def place(args, work):
    """Copies of the photographs on the disk and in a bucket; a queue; a thumb.toml."""
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    for bucket in ("peers-photos", "peers-thumbnails"):
        s3.create_bucket(Bucket=bucket)
    thumbnails = {"Bucket": "peers-thumbnails"}
    s3.put_bucket_ownership_controls(OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}, **thumbnails)
    names = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]
    s3.put_public_access_block(PublicAccessBlockConfiguration={name: False for name in names}, **thumbnails)
    sqs.create_queue(QueueName="peers-dlq")
    sqs.create_queue(QueueName="peers")
    (work / "thumb.toml").write_text('name = "peers"\n[buckets]\nsources = ["peers-photos"]\n')
    photos = sorted(args.photos.glob("*.jpg"))
    files, keys = [], []
    for index in range(args.images):
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
    """Images a second, and CPU milliseconds an image, of one run; the wait for the queue's end is not counted."""
    env = {**os.environ, "QUEUE": "peers", "THUMBNAILS": "peers-thumbnails"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # All workers ask three times more, a second each, before they end.
    took -= 0 if command[1] == "render" else 3
    return images / took, cpu / images * 1e3


if __name__ == "__main__":
    main()
