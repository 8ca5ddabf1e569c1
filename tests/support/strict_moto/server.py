"""The server: HTTP, the log, the command line."""
import argparse, signal
from werkzeug.serving import WSGIRequestHandler, make_server
from . import cbor, core, common, s3, sqs, iam, ec2, autoscaling, events, logs, sns, dashboards   # in this order their rules run
from .core import *

class Log:
    def __init__(self, path): self.file, self.lock, self.n = open(path, "a") if path else None, threading.Lock(), 0

    def write(self, call, t_start, status, code, bytes_out, dropped=None):
        if not self.file or call.service == "_strict-moto": return
        with self.lock:
            self.n += 1
            self.file.write(json.dumps({"n": self.n, "t_start": round(t_start, 4), "t_end": round(time.time(), 4), "service": call.service,
                "operation": f"{call.service}:{call.operation}", "resource": call.resource, "region": call.region, "access_key": call.access_key, "status": status,
                "error": code, "rule": call.rule or call.drop_after, "dropped": dropped, "mutating": call.mutating, "bytes_in": len(call.body), "bytes_out": bytes_out,
                "peer": call.env.get("REMOTE_PORT")}) + "\n")
            self.file.flush()

class Handler(WSGIRequestHandler):
    """HTTP/1.1 with keep-alive (werkzeug's own server closes after each answer)."""
    protocol_version, disable_nagle_algorithm, rbufsize = "HTTP/1.1", True, 65536

    def log_request(self, *args): pass
    def log_error(self, *args): pass

    def drop(self, how):
        if how == "hang":
            self.connection.settimeout(None)
            while self.connection.recv(65536): pass
        else: self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def run_wsgi(self):
        t_start, env = time.time(), self.make_environ()
        length = env.get("CONTENT_LENGTH", "")
        body = env["wsgi.input"].read(-1 if "HTTP_TRANSFER_ENCODING" in env else int(length or 0))
        if length and len(body) < int(length): raise ConnectionError("client left")
        env, body, translated = cbor.to_query(env, body)
        call = Call(env, body, self.connection)
        try: r = answer(call)
        except Drop as e:
            LOG.write(call, t_start, None, None, 0, e.args[0])
            return self.drop(e.args[0])
        if call.drop_after:
            LOG.write(call, t_start, r.status, r.code, 0, "reset")
            return self.drop("reset")
        if translated: r = cbor.to_cbor(r, translated)
        bodyless = self.command == "HEAD" or r.status in (204, 304)
        LOG.write(call, t_start, r.status, r.code, 0 if bodyless else len(r.body))
        headers = [(k, v) for k, v in r.headers if k.lower() not in ("connection", "transfer-encoding", "x-strict-moto-code") and (k.lower() != "content-length" or self.command == "HEAD")]
        if not bodyless: headers.append(("Content-Length", str(len(r.body))))
        head = f"HTTP/1.1 {r.status} {self.responses.get(r.status, ('',))[0]}\r\nDate: {self.date_time_string()}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + ("Connection: close\r\n" if self.close_connection else "") + "\r\n"
        self.wfile.write(head.encode("latin1") + (b"" if bodyless else r.body))

def main():
    global LOG
    a = argparse.ArgumentParser(prog="strict-moto", description="moto, as strict as AWS")
    a.add_argument("--port", type=int, default=4566, help="0: any free port")
    a.add_argument("--bind", default="127.0.0.1")
    a.add_argument("--log", metavar="FILE.jsonl", help="append one JSON line per request")
    a.add_argument("--rules", metavar="FILE.json", help='{"RULE": false | {"OPTION": VALUE}}')
    a.add_argument("--set", metavar="RULE.OPTION=JSON", action="append", default=[], help="e.g. throttling.p=0.1, s3-unsigned.on=false")
    a.add_argument("--latency-ms", type=float, default=0)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--enforce", metavar="ACCESS_KEY=ROLE_NAME", action="append", default=[])
    a.add_argument("--bucket-region", metavar="NAME=REGION", action="append", default=[], help="a bucket of the account in that region (s3-other-region)")
    a.add_argument("--foreign-bucket", metavar="NAME", action="append", default=[], help="a bucket of somebody else (s3-foreign-bucket)")
    a.add_argument("--list-rules", action="store_true", help="print the rules and their defaults, and leave")
    args = a.parse_args()
    try:
        if args.rules: set_options(json.load(open(args.rules)))
        for item in args.set:
            (name, _, key), value = item.partition("=")[0].rpartition("."), json.loads(item.partition("=")[2])
            set_options({name: {key: value}})
        if args.latency_ms: set_options({"latency": {"ms": args.latency_ms}})
        OPTIONS["enforce"]["keys"].update(e.split("=", 1) for e in args.enforce)
        OPTIONS["s3-other-region"]["buckets"].update(e.split("=", 1) for e in args.bucket_region)
        OPTIONS["s3-foreign-bucket"]["buckets"].extend(args.foreign_bucket)
    except ValueError as e: a.error(str(e))
    if args.list_rules: return print(json.dumps(OPTIONS, indent=1))
    core.SEED, LOG = args.seed, Log(args.log)
    server = make_server(args.bind, args.port, MOTO, threaded=True, request_handler=Handler)
    os.environ["MOTO_PORT"] = str(server.server_port)
    for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, lambda *_: os._exit(0))
    print(f"Running on http://{args.bind}:{server.server_port}", flush=True)
    server.serve_forever()

