"""Rules of every service, and `enforce`: what a role's policies allow."""
from .core import *

@rule("latency", "wire", ms=0)
def latency(call, o):
    """Every request takes at least this long (a round trip to a Region)."""
    time.sleep(o.ms / 1000)

@rule("connection-reset", "wire", p=0, when="either")
def connection_reset(call, o):
    """A connection may break before the request was acted on or after it, so a client must be able to repeat it:
    https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html (when: before, after, either)."""
    u = draw("connection-reset", call)
    if u < o.p:
        if o.when == "before" or o.when == "either" and u < o.p / 2: raise Drop("reset")
        call.drop_after = "connection-reset"

@rule("receive-hang", "wire", "sqs", "ReceiveMessage", p=0)
def receive_hang(call, o):
    """A long poll that never answers (a lost connection): a client needs a read timeout above WaitTimeSeconds,
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/best-practices-setting-up-long-polling.html"""
    if draw("receive-hang", call) < o.p: raise Drop("hang")

@rule("invalid-access-key", "wire", keys=["DENIED"])
def invalid_access_key(call, o):
    """Unknown access keys: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (InvalidAccessKeyId),
    https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html (InvalidClientTokenId),
    https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-errors.html (AuthFailure, status 401)."""
    if call.access_key in o.keys:
        if call.service == "s3": raise AwsError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403)
        if call.service == "ec2": raise AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
        raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", 403, "com.amazon.coral.service#UnrecognizedClientException")

@rule("missing-authentication-token", "wire")
def missing_authentication_token(call, o):
    """Only S3 takes unsigned requests: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html"""
    if not call.access_key and call.service != "s3" and call.operation not in ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"):
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403, "com.amazon.coral.service#MissingAuthenticationTokenException")

@rule("throttling", "wire", p=0, services=[], operations=[])
def throttling(call, o):
    """Each service throttles with its own code and status: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (SlowDown),
    https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html (RequestLimitExceeded), https://docs.aws.amazon.com/AWSSimpleQueueService/
    latest/APIReference/API_SendMessage.html (RequestThrottled), https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html (Throttling)."""
    if (o.services and call.service not in o.services) or (o.operations and call.operation not in o.operations) or draw("throttling", call) >= o.p: return
    raise {"s3": AwsError("SlowDown", "Please reduce your request rate.", 503), "ec2": AwsError("RequestLimitExceeded", "Request limit exceeded.", 503),
           "sqs": AwsError("RequestThrottled", "Request is throttled.")}.get(call.service, AwsError("Throttling", "Rate exceeded", 400, "ThrottlingException"))

# ---------------------------------------------------------------- rules: IAM policies
@functools.lru_cache(4096)
def wildcard(pattern, flags=0): return re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), flags | re.S)

def statements(document):
    if isinstance(document, bytes): document = document.decode()
    return as_list((json.loads(document) if isinstance(document, str) else document or {}).get("Statement"))

TESTS = {"StringEquals": lambda have, want: have == want, "StringLike": lambda have, want: bool(wildcard(want).fullmatch(have)), "Bool": lambda have, want: have.lower() == str(want).lower()}
TESTS.update(ArnEquals=TESTS["StringLike"], ArnLike=TESTS["StringLike"], StringEqualsIgnoreCase=lambda have, want: have.lower() == want.lower())

def holds(condition, context):
    """Whether a statement's Condition is met; None where it has a key or an operator that is not known here."""
    verdict = True
    for operator, keys in (condition or {}).items():
        name, negated = operator.removesuffix("IfExists").replace("Not", ""), "Not" in operator
        for key, wanted in keys.items():
            if name not in TESTS or key.lower() not in context: verdict = None
            elif (have := context[key.lower()]) is None:
                if not negated and not operator.endswith("IfExists"): return False
            elif any(TESTS[name](have, w) for w in as_list(wanted)) == negated: return False
    return verdict

def context_of(call):
    """The condition keys known here, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html (None: absent from the request)."""
    owner = call.bucket_owner if call.service == "s3" else call.account
    return {"s3:resourceaccount": owner, "aws:resourceaccount": owner, "aws:principalaccount": call.account, "aws:requestedregion": call.region, "s3:x-amz-acl": call.header("x-amz-acl") or None,
            "iam:passedtoservice": "ec2.amazonaws.com", "kms:viaservice": f"{call.service}.{call.region}.amazonaws.com", "s3:prefix": call.query.get("prefix")}

def evaluate(policy, action, resource, context=None):
    """Allow, Deny or None, by https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html. A condition with a key that
    context_of does not have is not evaluated: its Allow is void, its Deny stands; but aws:SourceArn is taken as met."""
    verdict = None
    for s in policy:
        hit = lambda key, value, flags=0: any(wildcard(p, flags).fullmatch(value) for p in as_list(s.get(key)))
        if not (hit("Action", action, re.I) or "NotAction" in s and not hit("NotAction", action, re.I)): continue
        if not (hit("Resource", resource) or "NotResource" in s and not hit("NotResource", resource)): continue
        condition = {op: {k: v for k, v in keys.items() if k.lower() != "aws:sourcearn" or k.lower() in (context or {})} for op, keys in (s.get("Condition") or {}).items()}
        met = holds(condition, context or {})
        if s.get("Effect") == "Deny" and met is not False: return "Deny"
        if s.get("Effect") == "Allow" and met: verdict = "Allow"
    return verdict

S3_ACTIONS = {"ListBuckets": "ListAllMyBuckets", "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket", "HeadObject": "GetObject",
    "ListObjectVersions": "ListBucketVersions", "CopyObject": "PutObject", "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject", "PostObject": "PutObject", "ListParts": "ListMultipartUploadParts", "ListMultipartUploads": "ListBucketMultipartUploads",
    "DeleteObjects": "DeleteObject", "DeleteBucketLifecycle": "PutLifecycleConfiguration", "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification", "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock", "DeletePublicAccessBlock": "PutBucketPublicAccessBlock", "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketEncryption": "GetEncryptionConfiguration", "PutBucketEncryption": "PutEncryptionConfiguration", "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration", "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration"}
SQS_ACTIONS = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage", "ChangeMessageVisibilityBatch": "ChangeMessageVisibility"}
EC2_TYPES = {"i": "instance", "sg": "security-group", "ami": "image", "subnet": "subnet", "vpc": "vpc", "vol": "volume", "eni": "network-interface", "lt": "launch-template"}
EC2_CREATES = {"RunInstances": ["instance/*", "volume/*", "network-interface/*"], "CreateSecurityGroup": ["security-group/*"],
               "CreateLaunchTemplate": ["launch-template/*"], "CreateKeyPair": ["key-pair/*"], "ImportKeyPair": ["key-pair/*"]}

def needed(call):
    """The (action, resource) pairs the call needs, by https://docs.aws.amazon.com/service-authorization/latest/reference/"""
    arn = lambda service, rest: f"arn:aws:{service}:{call.region}:{call.account}:{rest}"
    role_arn = lambda name: f"arn:aws:iam::{call.account}:role/{name}"
    if call.service == "s3":
        action, bucket = "s3:" + S3_ACTIONS.get(call.operation, call.operation), "arn:aws:s3:::" + call.bucket
        if call.operation == "DeleteObjects": return [(action, f"{bucket}/{k.decode()}") for k in re.findall(rb"<Key>(.*?)</Key>", call.body, re.S)]
        pairs = [(action, (f"{bucket}/{call.key}" if call.key else bucket) if call.bucket else "*")]
        if source := unquote(call.header("x-amz-copy-source")).lstrip("/").split("?")[0]: pairs.append(("s3:GetObject", "arn:aws:s3:::" + source))
        if call.operation == "CreateBucket" and b"<Tag>" in call.body: pairs.append(("s3:TagResource", bucket))
        if call.key and call.header("x-amz-tagging"): pairs.append(("s3:PutObjectTagging", pairs[0][1]))
        if call.key and call.header("x-amz-acl"): pairs.append(("s3:PutObjectAcl", pairs[0][1]))
        return pairs
    if call.service == "sqs": return [("sqs:" + SQS_ACTIONS.get(call.operation, call.operation), "*" if call.operation == "ListQueues" else call.params.get("SourceArn") or arn("sqs", call.queue_name))]
    if call.service == "ec2" and not call.operation.startswith("Describe"):
        ids = sorted({m[0] for v in call.params.values() if (m := re.fullmatch(r"([a-z]+)-[0-9a-f]+", v)) and m[1] in EC2_TYPES})
        found = [f"arn:aws:ec2:{call.region}::image/{i}" if i[:4] == "ami-" else arn("ec2", f"{EC2_TYPES[i.split('-')[0]]}/{i}") for i in ids]
        pairs = [("ec2:" + call.operation, r) for r in found + [arn("ec2", r) for r in EC2_CREATES.get(call.operation, [])] or ["*"]]
        if call.operation != "CreateTags": pairs += [("ec2:CreateTags", arn("ec2", f"{v}/*")) for k, v in call.params.items() if re.fullmatch(r"TagSpecification\.\d+\.ResourceType", k)]
        if profile := call.operation == "RunInstances" and find_profile(call, *profile_of(call)): pairs += [("iam:PassRole", r.arn) for r in profile.roles]
        return pairs
    if call.service == "iam" and "RoleName" in call.params: return [("iam:" + call.operation, role_arn(call.params["RoleName"]))]
    return [(call.service + ":" + call.operation, call.params.get("RoleArn", "*"))]

def role_policy(call, role_name):
    role = next((r for r in call.iam.get_roles() if r.name == role_name), None)
    if not role: raise AwsError("InvalidClientTokenId", f"The security token included in the request is invalid. (no role {role_name})", 403)
    managed = [next(v.document for v in p.versions if v.version_id == p.default_version_id) for p in role.managed_policies.values()]
    return [s for d in list(role.policies.values()) + managed for s in statements(d)]

@rule("enforce", "before", keys={})
def enforce(call, o):
    """keys: {ACCESS_KEY: ROLE_NAME}. Requests signed with that key may do what the role's inline and attached managed policies allow, no more:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
    role = o.keys.get(call.access_key)
    if not role or (call.service, call.operation) == ("sts", "GetCallerIdentity"): return
    policy, who = role_policy(call, role), f"arn:aws:sts::{call.account}:assumed-role/{role}/strict-moto"
    for action, resource in needed(call):
        if verdict := {"Allow": None, "Deny": "with an explicit deny in an identity-based policy"}.get(evaluate(policy, action, resource, context_of(call)), f"because no identity-based policy allows the {action} action"):
            text = f"User: {who} is not authorized to perform: {action} on resource: {resource} {verdict}"
            if call.service == "ec2": raise AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {text}", 403)
            raise AwsError("AccessDenied", text, 403, "com.amazon.coral.service#AccessDeniedException")
    if call.service == "s3" and call.operation in ("GetObject", "HeadObject"): call.note["may list"] = evaluate(policy, "s3:ListBucket", "arn:aws:s3:::" + call.bucket, context_of(call)) == "Allow"

@rule("enforce", "after")
def enforce_after(call, o, r):
    """A missing key is 404 only to who may list the bucket, else 403: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""
    if r.status == 404 and call.note.get("may list") is False: raise AwsError("AccessDenied", "Access Denied", 403)
    if call.operation == "GetCallerIdentity" and call.access_key in o.keys:
        r.body = re.sub(rb"<Arn>.*?</Arn>", f"<Arn>arn:aws:sts::{call.account}:assumed-role/{o.keys[call.access_key]}/strict-moto</Arn>".encode(), r.body)
