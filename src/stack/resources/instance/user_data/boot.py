#!/usr/bin/python3
"""thumb: what a new instance does, once, at its first boot; it shows in /var/log/cloud-init-output.log.

Fetches the thumb binary from S3 with the instance's own role, checks its SHA-256, installs it as a systemd service,
sees that it runs, and ends. Python 3.9, standard library only: what every image with cloud-init has.
"""
import datetime
import hashlib
import hmac
import http.client
import json
import os
import random
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

PARAMS = json.loads(r'@PARAMS@')
UNIT = r'''@UNIT@'''

BINARY = "/usr/local/bin/thumb"
CONFIG = "/etc/thumb/thumb.toml"
SERVICE = "thumb-worker.service"
UNIT_FILE = "/etc/systemd/system/" + SERVICE

IMDS = "169.254.169.254"
IMDS_TIMEOUT_S = 5
S3_TIMEOUT_S = 30  # without a byte
S3_ATTEMPT_S = 300  # the whole binary
# A role, and what it may do, can take a minute to reach S3 and the metadata service: 12 attempts take about 2 minutes.
ATTEMPTS = 12
BACKOFF_S = 0.5
MAX_BACKOFF_S = 20
MAX_ANSWER_BYTES = 65536
MAX_BINARY_BYTES = 512 * 1024 * 1024
SETTLE_S = 10  # a service that has run for so long without being started again stays
# It may be started again a few times before: SQS can take a while to know a new role.
MAX_SETTLE_S = 60


# Something that another attempt will not mend.
class Failed(Exception):
    pass


# Something that another attempt may mend.
class Again(Exception):
    pass


def say(text):
    try:
        with open("/proc/uptime") as uptime:
            since_power_on = float(uptime.read().split()[0])
    except OSError:
        since_power_on = time.monotonic()
    print(f"thumb: {since_power_on:7.1f} s  {text}", flush=True)


def insist(what, attempt):
    """Calls attempt() until it does not raise Again, at most ATTEMPTS times, backing off with jitter."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except Again as error:
            reason = str(error)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
        if number == ATTEMPTS:
            raise Failed(f"{what}: {reason} (attempt {number} of {ATTEMPTS}, the last)")
        pause = min(MAX_BACKOFF_S, BACKOFF_S * 2 ** number) * random.uniform(0.75, 1)
        say(f"{what}: {reason} (attempt {number} of {ATTEMPTS}, next in {pause:.1f} s)")
        time.sleep(pause)


def metadata(path, method="GET", headers=None):
    """One answer of the instance metadata service, or None for 404."""
    connection = http.client.HTTPConnection(IMDS, timeout=IMDS_TIMEOUT_S)
    try:
        connection.request(method, "/latest/" + path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER_BYTES).decode()
    finally:
        connection.close()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise Again(f"the metadata service answers {answer.status} for {path}")
    return body


def identity():
    """The role's credentials and the partition's domain (EC2 user guide, "Retrieve security credentials", IMDSv2)."""
    token = metadata("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "300"})
    headers = {"X-aws-ec2-metadata-token": token or ""}
    roles = metadata("meta-data/iam/security-credentials/", headers=headers)
    role = (roles or "").split("\n")[0].strip()
    if not role:
        raise Again("the instance has no role yet")
    found = json.loads(metadata("meta-data/iam/security-credentials/" + role, headers=headers) or "{}")
    if found.get("Code") != "Success":
        raise Again(f"the role {role} has no credentials yet ({found.get('Code')})")
    domain = metadata("meta-data/services/domain", headers=headers) or "amazonaws.com"
    return {"role": role, "key": found["AccessKeyId"], "secret": found["SecretAccessKey"],
            "token": found["Token"], "domain": domain.strip()}


def sign(path, headers, key, secret, region, now):
    """The Authorization header of a GET without query: Signature Version 4, S3's way (the path is encoded once).

    AWS: S3 API reference, "Authenticating Requests: Using the Authorization Header". All headers are signed.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    headers["x-amz-date"] = stamp
    headers["x-amz-content-sha256"] = hashlib.sha256(b"").hexdigest()
    names = sorted(headers, key=str.lower)
    signed = ";".join(name.lower() for name in names)
    lines = "".join(f"{name.lower()}:{headers[name].strip()}\n" for name in names)
    canonical = f"GET\n{path}\n\n{lines}\n{signed}\n{headers['x-amz-content-sha256']}"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = ("AWS4" + secret).encode()
    for part in [*scope.split("/"), to_sign]:
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    return f"AWS4-HMAC-SHA256 Credential={key}/{scope},SignedHeaders={signed},Signature={signature.hex()}"


def address(domain):
    """Scheme, host and path of the binary. Path style for a custom endpoint, and for a bucket with dots, whose name
    would not match S3's certificate."""
    bucket, key = PARAMS["bucket"], urllib.parse.quote(PARAMS["key"], safe="/-_.~")
    if PARAMS["endpoint"]:
        at = urllib.parse.urlsplit(PARAMS["endpoint"])
        return at.scheme, at.netloc, f"{at.path.rstrip('/')}/{bucket}/{key}"
    host = f"s3.{PARAMS['region']}.{domain}"
    return ("https", host, f"/{bucket}/{key}") if "." in bucket else ("https", f"{bucket}.{host}", f"/{key}")


def download(file):
    """One attempt: the whole object into the file. Returns its SHA-256 and length."""
    who = identity()
    scheme, host, path = address(who["domain"])
    headers = {"Host": host, "x-amz-security-token": who["token"]}
    now = datetime.datetime.now(datetime.timezone.utc)
    headers["Authorization"] = sign(path, headers, who["key"], who["secret"], PARAMS["region"], now)
    if scheme == "https":
        connection = http.client.HTTPSConnection(host, timeout=S3_TIMEOUT_S, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, timeout=S3_TIMEOUT_S)
    say(f"fetching {scheme}://{host}{path} as {who['role']}")
    deadline = time.monotonic() + S3_ATTEMPT_S
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            told = answer.read(MAX_ANSWER_BYTES).decode(errors="replace")
            error = Failed if "<Code>NoSuch" in told else Again
            raise error(f"S3 answers {answer.status} {answer.reason}: {' '.join(told.split())[:300]}")
        length = int(answer.getheader("Content-Length") or -1)
        if not 0 <= length <= MAX_BINARY_BYTES:
            raise Failed(f"the binary has {length} bytes, more than {MAX_BINARY_BYTES} or unknown")
        digest, got = hashlib.sha256(), 0
        while True:
            chunk = answer.read(65536)
            if not chunk:
                break
            try:
                file.write(chunk)
            except OSError as error:
                raise Failed(f"cannot write the binary: {error}") from error
            digest.update(chunk)
            got += len(chunk)
            if time.monotonic() > deadline:
                raise Again(f"only {got} of {length} bytes in {S3_ATTEMPT_S} s")
        if got != length:
            raise Again(f"the connection ended after {got} of {length} bytes")
        return digest.hexdigest(), got
    finally:
        connection.close()


def place(path, mode, fill):
    """Writes a file that appears whole or not at all; fill(file) writes it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".thumb-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def fetch(file):
    def attempt():
        file.seek(0)
        file.truncate()
        return download(file)

    sha256, length = insist("fetching the binary", attempt)
    if sha256 != PARAMS["sha256"]:
        raise Failed(f"the binary's SHA-256 is {sha256}, not {PARAMS['sha256']}: not installed")
    say(f"fetched {length} bytes, SHA-256 as expected")


def call(*command):
    """Runs a command to its end; its exit code and what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout.strip()


def show():
    """Prints the service's state and its last lines, those of starts that failed among them."""
    print(call("systemctl", "status", "--no-pager", "--full", "--lines=0", SERVICE)[1])
    print(call("journalctl", "--no-pager", "--output=cat", "--lines=20", "--unit=" + SERVICE)[1], flush=True)


def must(*command):
    say(" ".join(command))
    code, told = call(*command)
    if code != 0:
        show()
        raise Failed(f"{' '.join(command)} ended with {code}: {told}")


def start():
    must("systemctl", "daemon-reload")
    must("systemctl", "enable", SERVICE)
    # It is active when it has found its queue, which this does not wait for: the first attempt may fail.
    must("systemctl", "restart", "--no-block", SERVICE)
    began = time.monotonic()
    since, before = began, None
    while True:
        time.sleep(1)
        told = call("systemctl", "show", "--property=ActiveState,NRestarts", SERVICE)[1]
        now = time.monotonic()
        if told != before:
            since, before = now, told
        found = dict(line.partition("=")[::2] for line in told.splitlines())
        state, restarts = found.get("ActiveState"), found.get("NRestarts")
        settled = state == "active" and now - since >= SETTLE_S
        if settled or now - began >= MAX_SETTLE_S:
            break
    show()
    if not settled:
        raise Failed(f"{SERVICE} is {state} after {now - began:.0f} s, with {restarts} restarts; it goes on trying")
    if restarts != "0":
        say(f"{SERVICE} runs now; starts that failed before: {restarts}")


def main():
    say(f"setting up the worker of the stack {PARAMS['stack']}")
    place(BINARY, 0o755, fetch)
    say(f"installed {BINARY}")
    place(CONFIG, 0o644, lambda file: file.write(PARAMS["config"].encode()))
    say(f"wrote {CONFIG}")
    place(UNIT_FILE, 0o644, lambda file: file.write(UNIT.lstrip().encode()))
    say(f"wrote {UNIT_FILE}")
    start()
    say(f"done: {SERVICE} runs; its log: journalctl -u {SERVICE}")


def run():
    try:
        main()
    except Failed as error:
        return f"thumb: FAILED: {error}"
    except Exception as error:
        traceback.print_exc()
        return f"thumb: FAILED: {error!r}"


if __name__ == "__main__":
    sys.exit(run())
