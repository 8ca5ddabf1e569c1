"""Runs the rendered user data against a metadata service and an S3 that are late, broken or lying.

Usage: boot_test.py SCRIPT. Started by `cargo test`; everything is on the loopback, nothing waits.
"""
import contextlib
import datetime
import hashlib
import http.server
import importlib.util
import io
import os
import stat
import sys
import tempfile
import threading
import time
import types
import unittest

SCRIPT = sys.argv.pop(1)
BODY = os.urandom(300_000)
ROLE = "cats-worker"
CREDENTIALS = ('{"Code": "Success", "AccessKeyId": "ASIATEST", "SecretAccessKey": "secret", "Token": "session+/=="}')


class Fake(http.server.BaseHTTPRequestHandler):
    """Metadata service and S3 in one: which, the path tells. What goes wrong is in the server's attributes."""

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        if self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]:
            return self.answer(200, b"token")
        self.answer(405)

    def do_GET(self):
        fake = self.server
        fake.paths.append(self.path)
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.path.startswith("/latest/"):
            if self.headers["X-aws-ec2-metadata-token"] != "token":
                return self.answer(401)
            if self.path in (roles, roles + ROLE) and fake.no_role > 0:
                fake.no_role -= 1
                return self.answer(404)
            found = {roles: ROLE, roles + ROLE: CREDENTIALS, "/latest/meta-data/services/domain": "amazonaws.com"}
            return self.answer(200, found[self.path].encode()) if self.path in found else self.answer(404)
        fake.authorizations.append(self.headers["Authorization"])
        wrong = fake.wrong.pop(0) if fake.wrong else None
        if wrong == "cut":
            return self.answer(200, fake.body[:1000], len(fake.body))
        if wrong == "long":
            return self.answer(200, fake.body + b"more", len(fake.body) + 100)
        if wrong == "reset":
            return self.close_connection
        if wrong:
            return self.answer(*wrong)
        self.answer(200, fake.body)


class BootTest(unittest.TestCase):
    def setUp(self):
        self.fake = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
        self.fake.body, self.fake.no_role, self.fake.wrong = BODY, 0, []
        self.fake.paths, self.fake.authorizations = [], []
        threading.Thread(target=self.fake.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.fake.server_close)
        self.addCleanup(self.fake.shutdown)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = directory.name

        spec = importlib.util.spec_from_file_location("boot", SCRIPT)
        self.boot = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.boot)
        address = "127.0.0.1:%d" % self.fake.server_port
        self.boot.IMDS = address
        self.boot.PARAMS.update(endpoint="http://" + address, sha256=hashlib.sha256(BODY).hexdigest())
        for name in ("BINARY", "CONFIG", "UNIT_FILE"):
            setattr(self.boot, name, self.root + getattr(self.boot, name))
        self.slept, self.called = [], []
        # No time passes but that which the script sleeps.
        began = time.monotonic()

        def sleep(seconds):
            self.slept.append(seconds)
        self.boot.time = types.SimpleNamespace(sleep=sleep, monotonic=lambda: began + sum(self.slept))
        self.systemd = {"status": (0, "all is well"), "journalctl": (0, "working: queue cats")}
        # What the service is from which second after its start on, and how often it was started again until then.
        self.states = [(0, "activating", 0), (2, "active", 0)]

        def call(*command):
            self.called.append(" ".join(command))
            if command[:2] == ("systemctl", "restart"):
                self.started = len(self.slept)
            if command[:2] == ("systemctl", "show"):
                at = sum(self.slept[self.started:])
                state, restarts = [now[1:] for now in self.states if now[0] <= at][-1]
                return 0, f"NRestarts={restarts}\nActiveState={state}"
            return self.systemd.get(command[0] if command[0] == "journalctl" else command[1], (0, ""))
        self.boot.call = call

    def run_boot(self):
        """The script's exit message (None: success) and its output."""
        with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(output):
            ended = self.boot.run()
        return ended, output.getvalue()

    def installed(self):
        return sorted(os.path.relpath(os.path.join(at, name), self.root)
                      for at, _, names in os.walk(self.root) for name in names)

    def assert_nothing_installed(self):
        self.assertEqual(self.installed(), [])
        self.assertEqual(self.called, [])

    def assert_binary_installed(self):
        with open(self.boot.BINARY, "rb") as file:
            self.assertEqual(file.read(), BODY)

    def test_installs_the_binary_its_configuration_and_the_service(self):
        ended, output = self.run_boot()
        self.assertIsNone(ended, output)
        self.assertEqual(self.installed(),
                         ["etc/systemd/system/thumb-worker.service", "etc/thumb/thumb.toml", "usr/local/bin/thumb"])
        self.assert_binary_installed()
        self.assertEqual(stat.S_IMODE(os.stat(self.boot.BINARY).st_mode), 0o755)
        self.assertEqual(stat.S_IMODE(os.stat(self.boot.CONFIG).st_mode), 0o644)
        with open(self.boot.CONFIG, encoding="utf-8") as file:
            self.assertEqual(file.read(), 'name = "cats" # caf\u00e9\n')
        with open(self.boot.UNIT_FILE) as file:
            self.assertTrue(file.read().startswith("[Unit]\n"))
        self.assertEqual(self.called[:3],
                         ["systemctl daemon-reload", "systemctl enable thumb-worker.service",
                          "systemctl restart --no-block thumb-worker.service"])
        self.assertIn("all is well\nworking: queue cats", output)
        self.assertIn("done: thumb-worker.service runs", output.splitlines()[-1])
        self.assertEqual(self.fake.paths[-1], "/cats-code/thumb-0123abcd")
        self.assertEqual(self.slept, [1] * 12, "10 s from the second in which it is active")

    def test_a_second_run_ends_like_the_first(self):
        self.run_boot()
        before = self.installed()
        ended, output = self.run_boot()
        self.assertIsNone(ended, output)
        self.assertEqual(self.installed(), before)

    def test_a_binary_with_another_hash_is_not_installed(self):
        self.fake.body = BODY[:-1] + b"x"
        ended, _ = self.run_boot()
        self.assertIn("thumb: FAILED: the binary's SHA-256 is " + hashlib.sha256(self.fake.body).hexdigest(), ended)
        self.assert_nothing_installed()
        self.assertEqual(self.slept, [], "another attempt would fetch the same")

    def test_credentials_that_come_late_are_waited_for(self):
        self.fake.no_role = 3
        ended, output = self.run_boot()
        self.assertIsNone(ended, output)
        self.assertIn("(attempt 3 of 12, next in", output)

    def test_rights_that_come_late_are_waited_for(self):
        self.fake.wrong = [(403, b"<Error><Code>AccessDenied</Code></Error>")] * 2
        ended, output = self.run_boot()
        self.assertIsNone(ended, output)
        self.assertIn("S3 answers 403 Forbidden: <Error><Code>AccessDenied</Code></Error> (attempt 2 of 12", output)

    def test_rights_that_never_come_fail_after_a_bounded_time(self):
        self.fake.wrong = [(403, b"<Error><Code>AccessDenied</Code></Error>")] * 100
        ended, _ = self.run_boot()
        self.assertIn("thumb: FAILED: fetching the binary: S3 answers 403", ended)
        self.assertIn("(attempt 12 of 12, the last)", ended)
        self.assertEqual(len(self.slept), 11)
        self.assertLess(sum(self.slept), 180)
        self.assert_nothing_installed()

    def test_a_role_that_never_comes_fails(self):
        self.fake.no_role = 1000
        ended, _ = self.run_boot()
        self.assertIn("thumb: FAILED: fetching the binary: the instance has no role yet (attempt 12 of 12", ended)

    def test_a_binary_that_is_not_there_fails_at_once(self):
        self.fake.wrong = [(404, b"<Error><Code>NoSuchKey</Code></Error>")]
        ended, _ = self.run_boot()
        self.assertIn("thumb: FAILED: S3 answers 404", ended)
        self.assertEqual(self.slept, [])
        self.assert_nothing_installed()

    def test_a_body_cut_short_is_fetched_again(self):
        self.fake.wrong = ["long", "cut", "reset", (503, b"SlowDown")]
        ended, output = self.run_boot()
        self.assertIsNone(ended, output)
        self.assert_binary_installed()
        self.assertIn(f"the connection ended after 1000 of {len(BODY)} bytes (attempt 2 of 12", output)
        self.assertIn("RemoteDisconnected", output)

    def test_a_body_without_end_is_refused(self):
        self.boot.MAX_BINARY_BYTES = len(BODY) - 1
        ended, _ = self.run_boot()
        self.assertIn(f"thumb: FAILED: the binary has {len(BODY)} bytes", ended)
        self.assert_nothing_installed()

    def test_an_endpoint_that_is_not_there_fails(self):
        self.boot.PARAMS["endpoint"] = "http://127.0.0.1:1"
        ended, _ = self.run_boot()
        self.assertIn("thumb: FAILED: fetching the binary: ConnectionRefusedError", ended)
        self.assert_nothing_installed()

    def test_a_service_that_does_not_stay_up_fails_after_a_minute(self):
        self.states = [(5 * n, "activating", n) for n in range(100)]
        self.systemd["status"] = (3, "code=exited, status=1/FAILURE")
        self.systemd["journalctl"] = (0, "error: there is no queue cats")
        ended, output = self.run_boot()
        self.assertEqual(ended, "thumb: FAILED: thumb-worker.service is activating after 60 s, with 12 restarts;"
                                " it goes on trying")
        self.assertIn("status=1/FAILURE", output)
        self.assertIn("error: there is no queue cats", output)

    def test_a_service_that_needs_a_second_start_is_waited_for(self):
        # SQS does not know the role for the first seconds.
        self.states = [(0, "activating", 0), (3, "activating", 1), (9, "active", 1)]
        ended, output = self.run_boot()
        self.assertIsNone(ended, output)
        self.assertEqual(sum(self.slept), 19)
        self.assertIn("thumb-worker.service runs now; starts that failed before: 1", output)
        self.assertIn("done: thumb-worker.service runs", output.splitlines()[-1])

    def test_a_service_that_is_up_for_moments_only_fails(self):
        self.states = [(n, "active" if n % 8 < 7 else "activating", n // 8) for n in range(100)]
        ended, _ = self.run_boot()
        self.assertIn("thumb: FAILED: thumb-worker.service is active after 60 s, with 7 restarts", ended)

    def test_a_service_that_hangs_in_its_start_fails_after_a_minute(self):
        self.states = [(0, "activating", 0)]
        self.assertIn("is activating after 60 s, with 0 restarts", self.run_boot()[0])

    def test_a_service_of_which_systemd_says_nothing_fails_after_a_minute(self):
        self.states = [(0, "", "")]
        self.assertIn("after 60 s", self.run_boot()[0])

    def test_a_service_that_does_not_start_fails(self):
        self.systemd["restart"] = (1, "Job failed.")
        self.assertEqual(self.run_boot()[0],
                         "thumb: FAILED: systemctl restart --no-block thumb-worker.service ended with 1: Job failed.")

    def test_what_was_not_foreseen_fails_in_one_line_too(self):
        def call(*_):
            raise FileNotFoundError("systemctl")
        self.boot.call = call
        ended, output = self.run_boot()
        self.assertEqual(ended, "thumb: FAILED: FileNotFoundError('systemctl')")
        self.assertIn("Traceback", output)

    def test_requests_are_signed_with_the_session_token(self):
        self.run_boot()
        self.assertRegex(self.fake.authorizations[0],
                         r"^AWS4-HMAC-SHA256 Credential=ASIATEST/\d{8}/us-east-1/s3/aws4_request,"
                         r"SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"
                         r"Signature=[0-9a-f]{64}$")

    def test_signature_of_awss_own_example(self):
        # S3 API reference, "Authenticating Requests: Using the Authorization Header", example "GET Object".
        headers = {"Host": "examplebucket.s3.amazonaws.com", "Range": "bytes=0-9"}
        signed = self.boot.sign("/test.txt", headers, "AKIAIOSFODNN7EXAMPLE",
                                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1",
                                datetime.datetime(2013, 5, 24, tzinfo=datetime.timezone.utc))
        self.assertEqual(signed, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                                 "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                                 "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")

    def test_signature_with_a_session_token_is_as_botocore_makes_it(self):
        # S3SigV4Auth of botocore 1.43.11 for the same request, key and time.
        headers = {"Host": "b.s3.eu-west-1.amazonaws.com", "x-amz-security-token": "tok+/=="}
        signed = self.boot.sign("/a%20b/th%2Bumb~x", headers, "ASIAX", "sec/ret", "eu-west-1",
                                datetime.datetime(2026, 11, 23, 21, tzinfo=datetime.timezone.utc))
        self.assertTrue(signed.endswith("=b95ffa4026fca0456ef948a15a953dff288116e091dcbf3665452dd891e8349b"), signed)

    def test_where_the_binary_is(self):
        params = self.boot.PARAMS
        params.update(endpoint=None, region="eu-west-1", bucket="cats-code", key="a b/thumb+1")
        self.assertEqual(self.boot.address("amazonaws.com"),
                         ("https", "cats-code.s3.eu-west-1.amazonaws.com", "/a%20b/thumb%2B1"))
        params.update(region="cn-north-1")
        self.assertEqual(self.boot.address("amazonaws.com.cn")[1], "cats-code.s3.cn-north-1.amazonaws.com.cn")
        params.update(bucket="cats.code")
        self.assertEqual(self.boot.address("amazonaws.com.cn")[1:],
                         ("s3.cn-north-1.amazonaws.com.cn", "/cats.code/a%20b/thumb%2B1"))
        params.update(endpoint="https://aws.internal:4566/prefix/")
        self.assertEqual(self.boot.address("amazonaws.com"),
                         ("https", "aws.internal:4566", "/prefix/cats.code/a%20b/thumb%2B1"))


if __name__ == "__main__":
    unittest.main()
