"""What the rules are written in: the call, its answer, the hooks, and moto behind them.

moto runs inside this process; every request passes the rules before and after it. Each rule is a function decorated with
@rule(NAME, phase, service, operations, **options); its docstring says what AWS does and where AWS says so. Phases: "wire" (before
anything, not serialised), "before" and "after" moto (serialised by LOCK, so that check-then-act is atomic and moto's unlocked
structures lose nothing). The other modules take everything in here with `from .core import *`."""
import base64, copy, functools, hashlib, io, json, os, re, select, socket, struct, sys, threading, time, traceback, uuid, zlib
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace as Namespace
from urllib.parse import parse_qsl, quote_plus, unquote, urlencode
from xml.sax.saxutils import escape

for switch in ("MOTO_IAM_LOAD_MANAGED_POLICIES", "MOTO_DISABLE_GLOBAL_CORS", "S3_IGNORE_SUBDOMAIN_BUCKETNAME"): os.environ.setdefault(switch, "true")
os.environ.setdefault("MOTO_AMIS_PATH", os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "amis.json"))
from moto.core.exceptions import ServiceException
from moto.core.types import Base64EncodedString
from moto.ec2.models import ec2_backends
from moto.iam.models import get_account_id_from, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

MOTO = DomainDispatcherApplication(create_backend_app)
LOCK = threading.RLock()
CHANGED = threading.Condition(LOCK)       # notified after every mutating call: wakes long polls
SEED, OPTIONS, HOOKS = 0, {}, {"wire": [], "before": [], "after": []}
STATE = {}                                # what moto forgets: see remember()
TICKS = []                                # functions run before every call, under LOCK: what happens by itself as time passes

class AwsError(Exception):
    def __init__(self, code, message, status=400, type_=None):
        self.code, self.message, self.status, self.type_ = code, message, status, type_ or code

class Drop(Exception):
    """Give no answer: args[0] is "reset" (RST), "hang" (until the client leaves) or "client left"."""

def rule(name, phase, service=None, only="", /, **options):
    def register(fn):
        OPTIONS.setdefault(name, {"on": True}).update(options)
        HOOKS[phase].append((name, service, frozenset(only.split()), fn))
        return fn
    return register

def option(name, key="seconds"):
    """The option's value, or 0 where the rule is off."""
    return OPTIONS[name][key] if OPTIONS[name]["on"] else 0

def set_options(changes):
    for name, change in changes.items():
        change = {"on": change} if isinstance(change, bool) else change
        unknown = [name] if name not in OPTIONS else [f"{name}.{k}" for k in change if k not in OPTIONS[name]]
        if unknown:
            raise ValueError("no such rule or option: " + ", ".join(unknown))
        OPTIONS[name].update(change)

def remember(kind, key, value=None):
    STATE[kind, key] = time.monotonic() if value is None else value

def recently(kind, key, seconds):
    return time.monotonic() - STATE.get((kind, key), float("-inf")) < seconds

def draw(name, call):
    """A number in [0, 1) fixed by --seed, the rule, the operation and how often it was drawn for that operation."""
    with LOCK:
        n = STATE["draw", name, call.operation] = STATE.get(("draw", name, call.operation), 0) + 1
    return int.from_bytes(hashlib.blake2b(f"{SEED}/{name}/{call.operation}/{n}".encode(), digest_size=7).digest()) / 2**56

# ---------------------------------------------------------------- the call
VERSIONS = {"2012-11-05": "sqs", "2010-05-08": "iam", "2016-11-15": "ec2", "2011-06-15": "sts", "2011-01-01": "autoscaling",
            "2010-08-01": "cloudwatch"}
SUBRESOURCES = {"acl": "Acl", "policy": "Policy", "policyStatus": "PolicyStatus", "publicAccessBlock": "PublicAccessBlock",
    "ownershipControls": "OwnershipControls", "encryption": "Encryption", "lifecycle": "LifecycleConfiguration",
    "notification": "NotificationConfiguration", "tagging": "Tagging", "versioning": "Versioning", "location": "Location",
    "cors": "Cors", "logging": "Logging", "website": "Website", "replication": "Replication", "accelerate": "AccelerateConfiguration",
    "requestPayment": "RequestPayment", "object-lock": "ObjectLockConfiguration", "attributes": "Attributes",
    "retention": "Retention", "legal-hold": "LegalHold"}
UNPREFIXED = {"PublicAccessBlock", "ObjectLockConfiguration"}
READS = ("Get", "List", "Describe", "Head", "AssumeRole", "SelectObject", "Options", "Decode", "Simulate", "Filter", "StartQuery")

class Call:
    """One request: who asks which operation of which service, with what parameters."""
    def __init__(self, env, body, connection=None):
        self.env, self.body, self.connection = env, body, connection
        self.method, self.path = env["REQUEST_METHOD"], env["PATH_INFO"].encode("latin1").decode("utf8", "replace")
        self.query = dict(parse_qsl(env.get("QUERY_STRING", ""), keep_blank_values=True))
        self.service = self.operation = self.resource = self.rule = self.bucket = self.key = self.drop_after = None
        self.region, self.access_key, self.params, self.protocol, self.note = "us-east-1", None, {}, "xml", {}
        self.signed_region, self.virtual = None, False      # virtual: the bucket stands in the host name
        auth = self.header("authorization")
        if scope := re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request", unquote(auth) or "Credential=" + self.query.get("X-Amz-Credential", "")):
            self.access_key, self.region, self.service = scope.groups()
            self.signed_region = self.region
        elif auth.startswith("AWS ") or "AWSAccessKeyId" in self.query:
            self.access_key, self.service = self.query.get("AWSAccessKeyId") or auth[4:].split(":")[0], "s3"
        self.service = {"monitoring": "cloudwatch"}.get(self.service, self.service)
        target, form = self.header("x-amz-target"), self.env.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
        if re.match(r"/(latest|moto-api|_strict-moto)/", self.path):
            self.service, self.operation = self.path.split("/")[1], f"{self.method} {self.path}"
        elif target:
            self.protocol, self.operation = "json", target.rsplit(".", 1)[-1]
            self.service = self.service or {"AmazonSQS": "sqs"}.get(target.split(".")[0], target.split(".")[0])
            try: self.params = json.loads(body or b"{}")
            except ValueError: pass
        elif rpc := re.fullmatch(r"/service/[^/]+/operation/([^/]+)", self.path):
            self.protocol, self.operation = "cbor", rpc[1]
        elif self.service != "s3" and ("Action" in self.query or form and b"Action=" in body):
            self.params = {**self.query, **dict(parse_qsl(body.decode("utf8", "replace"), keep_blank_values=True))}
            self.operation, self.service = self.params["Action"], self.service or VERSIONS.get(self.params.get("Version"), "unknown")
        elif self.service == "s3" and self.path.startswith("/v20180820/"):
            self.service, self.operation = "s3control", f"{self.method} {self.path}"
        elif self.service in (None, "s3"):
            self.service = "s3"
            self.parse_s3()
        else:
            self.protocol, self.operation = "json", f"{self.method} {self.path}"
        self.account = get_account_id_from(self.access_key) if self.access_key else "123456789012"
        p = self.params
        self.resource = self.resource or next((str(p[k]) for k in ("QueueName", "QueueUrl", "RoleName", "InstanceProfileName", "PolicyArn", "GroupName",
            "AutoScalingGroupName", "LaunchTemplateName", "InstanceId.1", "GroupId", "ResourceId.1", "ImageId", "AlarmName", "SourceArn", "InstanceId", "TopicArn", "logGroupName", "Rule") if k in p), None)
        if self.service == "sqs" and self.resource: self.resource = self.resource.rstrip("/").rsplit("/", 1)[-1]

    def header(self, name): return self.env.get("HTTP_" + name.upper().replace("-", "_"), "")

    def parse_s3(self):
        virtual = re.match(r"(.+?)\.s3[.-]", self.env.get("HTTP_HOST", ""))
        self.virtual = bool(virtual)
        self.bucket, _, self.key = self.path[1:].partition("/") if not virtual else (virtual[1], "", self.path[1:])
        self.resource, q, m = self.bucket + ("/" + self.key if self.key else ""), self.query, self.method
        verb = {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post", "OPTIONS": "Options"}.get(m, m.title())
        sub, noun = next((SUBRESOURCES[s] for s in q if s in SUBRESOURCES), None), "Object" if self.key else "Bucket"
        if not self.bucket: self.operation = "ListBuckets" if m == "GET" else verb
        elif m == "OPTIONS": self.operation = "Options"
        elif "uploadId" in q: self.operation = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}.get(m, "ListParts")
        elif "uploads" in q: self.operation = "CreateMultipartUpload" if m == "POST" else "ListMultipartUploads"
        elif "delete" in q and m == "POST": self.operation = "DeleteObjects"
        elif sub == "LifecycleConfiguration" and m == "DELETE": self.operation = "DeleteBucketLifecycle"
        elif sub: self.operation = verb + ("" if sub in UNPREFIXED else noun) + sub
        elif self.key: self.operation = "CopyObject" if m == "PUT" and self.header("x-amz-copy-source") else verb + noun
        elif m == "GET": self.operation = "ListObjectVersions" if "versions" in q else "ListObjectsV2" if q.get("list-type") == "2" else "ListObjects"
        else: self.operation = {"PUT": "CreateBucket", "POST": "PostObject"}.get(m, verb + noun)

    @property
    def mutating(self):
        return not self.operation.startswith(READS) and not self.params.get("DryRun") == "true" and not self.operation.startswith(("GET /", "HEAD /"))

    @property
    def queue_name(self): return self.params.get("QueueName") or (self.params.get("QueueUrl") or self.path).rstrip("/").rsplit("/", 1)[-1]

    @property
    def queue(self): return sqs_backends[self.account][self.region].queues.get(self.queue_name)

    @property
    def s3_bucket(self):
        owner = s3_backends.bucket_accounts.get(self.bucket)
        return s3_backends[owner[1]][owner[0]].buckets.get(self.bucket) if owner else None

    @property
    def bucket_owner(self):
        """The account whose bucket it is."""
        return s3_backends.bucket_accounts.get(self.bucket, (None, None))[1]

    @property
    def ec2(self): return ec2_backends[self.account][self.region]

    @property
    def iam(self): return iam_backends[self.account]["aws"]

    def members(self, prefix):
        """The values of prefix.1, prefix.2, ... or prefix.member.1, ... (query protocol)."""
        return [v for k, v in self.params.items() if re.fullmatch(re.escape(prefix) + r"\.(member\.)?\d+", k)]

    def tree(self, name):
        """The parameter as nested dicts and lists, name.key.member.1 = x -> {"key": ["x"]} (query protocol), or None."""
        def fold(x):
            if not isinstance(x, dict): return x
            return [fold(x[k]) for k in sorted(x, key=int)] if x and all(k.isdigit() for k in x) else {k: fold(v) for k, v in x.items()}
        root = {}
        for k, v in self.params.items():
            path = k.replace(".member.", ".").split(".")
            at = root
            for step in path[:-1]: at = at.setdefault(step, {}) if isinstance(at, dict) else {}
            if isinstance(at, dict): at[path[-1]] = v
        return fold(root.get(name))

    def queue_attributes(self):
        if self.protocol == "json": return self.params.get("Attributes") or {}
        return {v: self.params.get(k[:-4] + "Value", "") for k, v in self.params.items() if re.fullmatch(r"Attribute\.\d+\.Name", k)}

    def set_params(self, **changes):
        self.params.update(changes)
        self.body = (json.dumps(self.params) if self.protocol == "json" else urlencode(self.params)).encode()

    def gone(self):
        """The client closed its connection."""
        try: return bool(self.connection and select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1, socket.MSG_PEEK))
        except OSError: return True

def as_list(x): return x if isinstance(x, list) else [] if x is None else [x]

def launch_template(call, **arg):
    """The data of the launch template version a call names, or {}."""
    mixed = "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification."
    arg = arg or {k: call.params[prefix + k] for prefix in ("LaunchTemplate.", mixed) for k in ("LaunchTemplateId", "LaunchTemplateName", "Version") if prefix + k in call.params}
    if not arg: return {}
    try: return call.ec2._get_template_from_args(arg).data
    except ServiceException as e: raise AwsError(getattr(e, "code", "InvalidLaunchTemplateId.NotFound"), str(getattr(e, "message", e)))
    except (IndexError, KeyError): raise AwsError("InvalidLaunchTemplateId.NotFound", f"The specified launch template, {arg}, does not exist.")

def profile_of(call):
    template = launch_template(call).get("IamInstanceProfile") or {}
    return call.params.get("IamInstanceProfile.Name") or template.get("Name"), call.params.get("IamInstanceProfile.Arn") or template.get("Arn")

def find_profile(call, name, arn): return next((p for p in call.iam.get_instance_profiles() if p.name == name or p.arn == arn), None) if name or arn else None

# ---------------------------------------------------------------- responses
class Response:
    def __init__(self, status, headers, body): self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        """The AWS error code of a refusal."""
        if self.status < 400: return None
        if query := next((v for k, v in self.headers if k.lower() == "x-amzn-query-error"), None): return query.split(";")[0]
        found = re.search(rb"<Code>([^<]+)</Code>", self.body) or re.search(rb'"__type": *"(?:[^"#]*#)?([^"]+)"', self.body)
        return found[1].decode() if found else next((v for k, v in self.headers if k == "x-strict-moto-code"), None)

def render(call, e):
    """An error as the service words it on the wire."""
    rid, code, message = str(uuid.uuid4()), e.code, e.message
    if call.protocol in ("json", "cbor"):
        doc = {"__type": e.type_ if "#" in e.type_ else f"com.amazonaws.{call.service}#{e.type_}", "message": message}
        headers = [("x-amzn-requestid", rid), ("x-amzn-query-error", f"{code};{'Sender' if e.status < 500 else 'Receiver'}")]
        if call.protocol == "json": return Response(e.status, headers + [("content-type", "application/x-amz-json-1.0")], json.dumps(doc).encode())
        text = lambda s: b"\x79" + struct.pack(">H", len(s.encode())) + s.encode()   # CBOR: text with a 16-bit length
        return Response(e.status, headers + [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")], b"\xa2" + b"".join(text(s) for kv in doc.items() for s in kv))
    code_message = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if call.service == "s3": body = f"<Error>{code_message}<Resource>{escape('/' + (call.resource or ''))}</Resource><RequestId>{rid}</RequestId><HostId>strict-moto</HostId></Error>"
    elif call.service == "ec2": body = f"<Response><Errors><Error>{code_message}</Error></Errors><RequestID>{rid}</RequestID></Response>"
    else: body = f"<ErrorResponse><Error><Type>{'Sender' if e.status < 500 else 'Receiver'}</Type>{code_message}</Error><RequestId>{rid}</RequestId></ErrorResponse>"
    headers = [("content-type", "application/xml" if call.service == "s3" else "text/xml"), ("x-amz-request-id", rid), ("x-strict-moto-code", code)]
    return Response(e.status, headers, b"" if call.method == "HEAD" else b'<?xml version="1.0" encoding="UTF-8"?>\n' + body.encode())

def result(call, value=None):
    """A success of the query protocol (or of JSON): dicts, lists, dates and booleans as the service words them."""
    if call.protocol == "json": return Response(200, [("content-type", "application/x-amz-json-1.0"), ("x-amzn-requestid", str(uuid.uuid4()))], json.dumps(value or {}).encode())
    def xml(x):
        if isinstance(x, dict): return "".join(f"<{k}>{xml(v)}</{k}>" for k, v in x.items() if v is not None)
        if isinstance(x, list): return "".join(f"<member>{xml(v)}</member>" for v in x)
        if isinstance(x, datetime): return x.strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(x).lower() if isinstance(x, bool) else escape(str(x))
    name, rid = call.operation, str(uuid.uuid4())
    body = f'<{name}Response xmlns="http://{call.service}.amazonaws.com/doc/{call.params.get("Version", "")}/"><{name}Result>{xml(value or {})}</{name}Result><ResponseMetadata><RequestId>{rid}</RequestId></ResponseMetadata></{name}Response>'
    return Response(200, [("content-type", "text/xml"), ("x-amzn-requestid", rid)], body.encode())

def ask(service, account, region, params):
    """A call that AWS makes by itself (Auto Scaling launches instances): through the rules of that service, then moto. Raises AwsError."""
    key = "test" if account == "123456789012" else account
    env = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "HTTP_HOST": f"{service}.{region}.amazonaws.com", "SERVER_PROTOCOL": "HTTP/1.1",
           "CONTENT_TYPE": "application/x-www-form-urlencoded", "wsgi.url_scheme": "http", "wsgi.version": (1, 0), "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
           "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={key}/20000101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"}
    call = Call(env, urlencode(params).encode())
    r = run_hooks("before", call) or moto(call)
    r = run_hooks("after", call, r) or r
    if r.status >= 400:
        text = re.search(rb"<Message>(.*?)</Message>", r.body, re.S)
        raise AwsError(r.code or "InternalFailure", text[1].decode() if text else r.body.decode("utf8", "replace"))
    return r

def moto(call):
    """Hand the call to moto; what moto has not implemented is 501, what breaks it is 500, never an HTML page."""
    env, out = {**call.env, "wsgi.input": io.BytesIO(call.body), "CONTENT_LENGTH": str(len(call.body)), "wsgi.input_terminated": True}, []
    env.pop("HTTP_TRANSFER_ENCODING", None)
    if call.virtual: env.update(PATH_INFO=f"/{call.bucket}" + env["PATH_INFO"], RAW_URI=f"/{call.bucket}" + env.get("RAW_URI", ""), REQUEST_URI=f"/{call.bucket}" + env.get("REQUEST_URI", ""), HTTP_HOST="s3.localhost")
    try:
        chunks = MOTO(env, lambda status, headers, exc_info=None: out.extend((status, headers)))
        body = b"".join(chunks)
        if hasattr(chunks, "close"): chunks.close()
        return Response(int(out[0].split()[0]), out[1], body)
    except Exception as e:
        call.rule = "moto-" + type(e).__name__
        print(f"moto: {call.service}:{call.operation}: {traceback.format_exc()}", file=sys.stderr)
        missing = isinstance(e, NotImplementedError)
        return render(call, AwsError("NotImplemented" if missing else "InternalFailure", f"moto: {type(e).__name__}: {e}", 501 if missing else 500))

def receive_message(call):
    """ReceiveMessage with the wait done here: moto's own would hold LOCK, and would serve a client that has left."""
    queue, end = call.queue, time.monotonic()
    wait = call.params.get("WaitTimeSeconds", queue.receive_message_wait_time_seconds if queue else 0)
    if not queue or not str(wait).isdigit() or not 0 < int(wait) <= 20: return moto(call)
    call.set_params(WaitTimeSeconds=0 if call.protocol == "json" else "0")
    end += int(wait)
    while True:
        left = end - time.monotonic()
        if queue.messages or left <= 0:
            r = moto(call)
            if left <= 0 or r.status != 200 or b"ReceiptHandle" in r.body: return r
        CHANGED.wait(min(0.1, max(left, 0.001)))
        go_on()
        if call.gone(): raise Drop("client left")

def go_on():
    """What has happened by itself since the last call."""
    for tick in TICKS:
        try: tick()
        except Exception: traceback.print_exc()

def run_hooks(phase, call, *args):
    for name, service, operations, fn in HOOKS[phase]:
        if (service in (None, call.service)) and (not operations or call.operation in operations) and OPTIONS[name]["on"]:
            try: answer = fn(call, Namespace(**OPTIONS[name]), *args)
            except (AwsError, Drop):
                call.rule = name
                raise
            except Exception as e:
                call.rule = f"broken: {name}"
                traceback.print_exc()
                raise AwsError("InternalFailure", f"strict-moto: rule {name}: {type(e).__name__}: {e}", 500)
            if answer:
                call.rule = name
                return answer

def answer(call):
    if call.service == "_strict-moto": return admin(call)
    if call.service in ("latest", "moto-api"):
        with LOCK:
            if "reset" in call.path: STATE.clear()
            return moto(call)
    try:
        run_hooks("wire", call)
        with LOCK:
            go_on()
            r = run_hooks("before", call)
            if not r:
                r = receive_message(call) if (call.service, call.operation) == ("sqs", "ReceiveMessage") else moto(call)
                r = run_hooks("after", call, r) or r
            if call.mutating: CHANGED.notify_all()
            return r
    except AwsError as e:
        return render(call, e)

def admin(call):
    """GET or PUT /_strict-moto/rules: the rules in force, and change them while running."""
    try:
        if call.method == "PUT": set_options(json.loads(call.body))
        return Response(200, [("content-type", "application/json")], json.dumps(OPTIONS, indent=1).encode())
    except ValueError as e: return Response(400, [("content-type", "text/plain")], str(e).encode())
