"""Rules of S3."""
import xml.etree.ElementTree as ElementTree
from moto.s3.models import get_canned_acl
from moto.s3control.models import s3control_backends
from .core import *
from .common import S3_ACTIONS, context_of, evaluate, role_policy, statements

CHECKSUMS = {"crc32": lambda b: struct.pack(">I", zlib.crc32(b)), "sha1": lambda b: hashlib.sha1(b).digest(), "sha256": lambda b: hashlib.sha256(b).digest()}

def unchunk(body):
    """The payload and the trailers of an aws-chunked body."""
    parts, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if not size: break
        parts.append(body[end + 2:end + 2 + size])
        at = end + 4 + size
    return b"".join(parts), {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in body[end + 2:].decode("latin1").split("\r\n")) if v}

def payload(call):
    """The body without its aws-chunked frame."""
    return unchunk(call.body)[0] if call.header("x-amz-content-sha256").startswith("STREAMING-") else call.body

# -- whose bucket, and where
STRANGER = "999999999999"

def own(account, name, region):
    """Make a bucket that no call has made."""
    s3_backends[account]["aws"].create_bucket(name, region)
    new_bucket(account, name)

def new_bucket(account, name):
    bucket, backend = s3_backends[account]["aws"].buckets[name], s3_backends[account]["aws"]
    bucket.ownership_rule = bucket.ownership_rule or "BucketOwnerEnforced"
    backend.put_public_access_block(name, dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), "true"))
    bucket.encryption = {"Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": "false"}}

@rule("s3-other-region", "before", "s3", buckets={}, malformed=False)
def s3_other_region(call, o):
    """A request that is signed for another region than the bucket's is answered 301 PermanentRedirect with x-amz-bucket-region, or (malformed: true; what the global
    endpoint answers) 400 AuthorizationHeaderMalformed with <Region>: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html,
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/Redirects.html. GetBucketLocation works from us-east-1. buckets: {NAME: REGION} are made if they are not there."""
    if call.bucket in o.buckets and not call.bucket_owner: own(call.account, call.bucket, o.buckets[call.bucket])
    region = o.buckets.get(call.bucket) or (call.s3_bucket.region_name if call.bucket and call.s3_bucket else None)
    if not region or call.signed_region in (None, region) or call.operation == "CreateBucket" or (call.operation, call.signed_region) == ("GetBucketLocation", "us-east-1"): return
    if o.malformed:
        e, extra = AwsError("AuthorizationHeaderMalformed", f"The authorization header is malformed; the region '{call.signed_region}' is wrong; expecting '{region}'"), f"<Region>{region}</Region>"
    else:
        e = AwsError("PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.", 301)
        extra = f"<Endpoint>{call.bucket}.s3.{region}.amazonaws.com</Endpoint><Bucket>{call.bucket}</Bucket>"
    r = render(call, e)
    r.headers.append(("x-amz-bucket-region", region))
    r.body = r.body.replace(b"</Message>", b"</Message>" + extra.encode())
    return r

@rule("s3-expected-bucket-owner", "before", "s3")
def s3_expected_bucket_owner(call, o):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html: another account than the one expected is 403."""
    source = unquote(call.header("x-amz-copy-source")).lstrip("/").split("/")[0]
    for header, owner in (("x-amz-expected-bucket-owner", call.bucket_owner), ("x-amz-source-expected-bucket-owner", s3_backends.bucket_accounts.get(source, (None, None))[1])):
        expected = call.header(header) or call.query.get(header, "")
        if expected and not re.fullmatch(r"\d{12}", expected): raise AwsError("InvalidBucketOwnerAWSAccountID", f"The value of the {header} parameter must be an AWS account ID")
        if expected and owner and expected != owner: raise AwsError("AccessDenied", "Access Denied", 403)

@rule("s3-foreign-bucket", "before", "s3", buckets=[], readable=[], writable=[])
def s3_foreign_bucket(call, o):
    """A bucket of another account (made if it is not there): 403, or as readable/writable has it; the bucket policy is the owner's alone, 405 MethodNotAllowed:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html. Its name is taken: BucketAlreadyExists."""
    if call.bucket in {*o.buckets, *o.readable, *o.writable} and not call.bucket_owner: own(STRANGER, call.bucket, "us-east-1")
    if not call.access_key or call.bucket_owner in (None, call.account): return
    if call.operation == "CreateBucket": raise AwsError("BucketAlreadyExists", "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.", 409)
    if call.operation.endswith("BucketPolicy"): raise AwsError("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
    reads, writes = ("HeadBucket", "GetObject", "HeadObject", "ListObjects", "ListObjectsV2"), ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
    if not (call.bucket in o.readable and call.operation in reads or call.bucket in o.writable and call.operation in (*writes, "HeadBucket")): raise AwsError("AccessDenied", "Access Denied", 403)

@rule("s3-digest", "wire", "s3")
def s3_digest(call, o):
    """A body that does not match its Content-MD5, x-amz-checksum-* (header or trailer) or x-amz-content-sha256 is refused:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html (CRC32C and CRC64NVME are not computed here)."""
    if not call.access_key or call.method not in ("PUT", "POST") or call.operation == "CompleteMultipartUpload": return
    sums, data, sha = {n: call.header("x-amz-checksum-" + n) for n in CHECKSUMS}, call.body, call.header("x-amz-content-sha256")
    if sha.startswith("STREAMING-"):
        try: data, trailers = unchunk(call.body)
        except ValueError: raise AwsError("IncompleteBody", "The request body terminated unexpectedly")
        if call.header("x-amz-decoded-content-length") not in ("", str(len(data))): raise AwsError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
        sums.update({n: trailers["x-amz-checksum-" + n] for n in sums if "x-amz-checksum-" + n in trailers})
    elif re.fullmatch("[0-9a-f]{64}", sha) and hashlib.sha256(data).hexdigest() != sha:
        raise AwsError("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    if md5 := call.header("content-md5"):
        if not re.fullmatch(r"[A-Za-z0-9+/]{22}==", md5): raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")
        if base64.b64decode(md5) != hashlib.md5(data).digest(): raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    for name, value in sums.items():
        if value and value != base64.b64encode(CHECKSUMS[name](data)).decode():
            raise AwsError("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")

@rule("s3-presigned-expiry", "before", "s3")
def s3_presigned_expiry(call, o):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html"""
    q, until = call.query, None
    try:
        if "X-Amz-Expires" in q: until = datetime.strptime(q.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp() + int(q["X-Amz-Expires"])
        elif "Signature" in q and "Expires" in q: until = int(q["Expires"])
    except ValueError: raise AwsError("AuthorizationQueryParametersError", "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if until and time.time() > until: raise AwsError("AccessDenied", "Request has expired", 403)

PUBLIC_ACLS, GROUPS = {"public-read", "public-read-write", "authenticated-read"}, r"groups/global/(AllUsers|AuthenticatedUsers)"

def asked_acl(call):
    """(canned ACL, is it public, is any ACL set) as the request's headers or body have it."""
    grants = [v for k, v in call.env.items() if k.startswith("HTTP_X_AMZ_GRANT_")]
    body = call.body.decode("utf8", "replace") if call.operation.endswith("Acl") else ""
    canned = call.header("x-amz-acl")
    return canned, canned in PUBLIC_ACLS or bool(re.search(GROUPS, " ".join(grants) + body)), bool(canned or grants or body)

@rule("s3-create-bucket", "before", "s3", "CreateBucket", seconds=5)
def s3_create_bucket(call, o):
    """Location constraints, names, and ACLs on creation: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html and
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html. For `seconds` after DeleteBucket the name gives OperationAborted:
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. InvalidBucketAcl*: https://aws.amazon.com/blogs/aws/heads-up-amazon-s3-security-changes-are-coming-in-april-of-2023/"""
    where = (re.findall(rb"<LocationConstraint[^>]*>([^<]*)</LocationConstraint>", call.body) or [b""])[0].decode()
    ownership, (canned, public, any_acl) = call.header("x-amz-object-ownership") or "BucketOwnerEnforced", asked_acl(call)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", call.bucket) or re.search(r"\.\.|^\d+\.\d+\.\d+\.\d+$|^xn--|-s3alias$", call.bucket):
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.")
    if call.region == "us-east-1" and where == "us-east-1": raise AwsError("InvalidLocationConstraint", "The specified location-constraint is not valid")
    if call.region not in ("us-east-1", where):
        raise AwsError("IllegalLocationConstraintException", f"The {where or 'unspecified'} location constraint is incompatible for the region specific endpoint this request was sent to.")
    if recently("bucket deleted", call.bucket, o.seconds): raise AwsError("OperationAborted", "A conflicting conditional operation is currently in progress against this resource. Please try again.", 409)
    if any_acl and canned != "private" and ownership == "BucketOwnerEnforced": raise AwsError("InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
    if public: raise AwsError("InvalidBucketAclWithBlockPublicAccessError", "Bucket cannot have public ACLs set with BlockPublicAccess enabled")
    call.note["new"] = call.s3_bucket is None

@rule("s3-create-bucket-tags", "before", "s3", "CreateBucket", on=False)
def s3_create_bucket_tags(call, o):
    """Partitions that lack tagging on creation: https://github.com/hashicorp/terraform-provider-aws/issues/45684"""
    if re.search(rb"<Tags?[ />]", call.body): raise AwsError("UnsupportedArgument", "The request contained an unsupported argument.")

@rule("s3-new-bucket", "before", "s3", seconds=5, p=0)
def s3_new_bucket(call, o):
    """For some time a new bucket is not known everywhere: for `seconds`, with probability p, its sub-resources answer NoSuchBucket, or (writes) 409 OperationAborted:
    https://github.com/hashicorp/terraform-provider-aws/issues/2008, https://github.com/hashicorp/terraform-provider-aws/issues/7628"""
    if call.key or not re.fullmatch("(Get|Put|Delete)(Bucket.+|PublicAccessBlock|ObjectLockConfiguration)", call.operation) or not recently("bucket created", call.bucket, o.seconds): return
    u = draw("s3-new-bucket", call)
    if u < o.p and not call.operation.startswith("Get") and u < o.p / 2: raise AwsError("OperationAborted", "A conflicting conditional operation is currently in progress against this resource. Please try again.", 409)
    if u < o.p: raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)

@rule("s3-new-bucket", "after", "s3", "CreateBucket")
def s3_bucket_created(call, o, r):
    """(see above)"""
    if r.status < 300 and call.note.get("new", True): remember("bucket created", call.bucket)

@rule("s3-new-bucket-defaults", "after", "s3", "CreateBucket DeleteBucket")
def s3_new_bucket_defaults(call, o, r):
    """A new bucket has ACLs disabled, all four Block Public Access settings on and SSE-S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/
    create-bucket-faq.html, https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html; and the tags it was made with (moto drops them)"""
    if r.status < 300 and call.operation == "DeleteBucket": remember("bucket deleted", call.bucket)
    elif r.status < 300 and call.note.get("new", True) and call.s3_bucket:
        new_bucket(call.account, call.bucket)
        find = lambda tag, name: tag.find(f"{{*}}{name}").text or ""
        if tags := {find(t, "Key"): find(t, "Value") for t in ElementTree.fromstring(payload(call)).findall(".//{*}Tag")} if b"<Tag>" in call.body else None: s3_backends[call.account]["aws"].put_bucket_tagging(call.bucket, tags)

@rule("s3-account-public-access-block", "before", "s3", on=False)
def s3_account_public_access_block(call, o):
    """The account's own Block Public Access, all four settings (or those that PutPublicAccessBlock of s3control has set, whether this is on or not), stands above the
    bucket's: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html (done by blocks() below)"""

def blocks(call, setting):
    """Whether the bucket's or the account's Block Public Access has the setting on."""
    if OPTIONS["s3-account-public-access-block"]["on"]: return True
    holders = call.s3_bucket and call.s3_bucket.public_access_block, s3control_backends[call.bucket_owner or call.account]["aws"].public_access_block
    return any(h and getattr(h, setting) for h in holders)

@rule("s3-acl", "before", "s3", "PutObject CopyObject CreateMultipartUpload PutObjectAcl PutBucketAcl")
def s3_acl(call, o):
    """With ACLs disabled a PUT takes no ACL but bucket-owner-full-control (and private, which grants no more), Put*Acl none at all:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ensure-object-ownership.html. BlockPublicAcls refuses public ones:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html"""
    canned, public, any_acl = asked_acl(call)
    if not any_acl or not (bucket := call.s3_bucket): return
    harmless = {"bucket-owner-full-control"} if call.operation.endswith("Acl") else {"bucket-owner-full-control", "private"}
    if bucket.ownership_rule == "BucketOwnerEnforced" and canned not in harmless: raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    if public and blocks(call, "block_public_acls"):
        raise AwsError("AccessDenied", f"User is not authorized to perform: s3:{call.operation} on resource: \"arn:aws:s3:::{call.resource}\" because public access control lists (ACLs) are prevented by the BlockPublicAcls setting in S3 Block Public Access.", 403)

@rule("s3-acl", "after", "s3", "PutObject CopyObject")
def s3_acl_default(call, o, r):
    """An object put without an ACL is private whatever the bucket's ACL: https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html"""
    if r.status == 200 and not asked_acl(call)[2] and (key := call.s3_bucket.keys.get(call.key)): key.set_acl(get_canned_acl("private"))

def to_everyone(statement):
    principal = statement.get("Principal")
    return principal == "*" or isinstance(principal, dict) and "*" in as_list(principal.get("AWS"))

@rule("s3-block-public-policy", "before", "s3", "PutBucketPolicy")
def s3_block_public_policy(call, o):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html (public: Allow to "*" without a condition)"""
    try: public = any(s.get("Effect") == "Allow" and to_everyone(s) and not s.get("Condition") for s in statements(call.body))
    except (ValueError, AttributeError): raise AwsError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
    if public and call.s3_bucket and blocks(call, "block_public_policy"):
        raise AwsError("AccessDenied", f"User is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::{call.bucket}\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.", 403)

@rule("s3-unsigned", "before", "s3")
def s3_unsigned(call, o):
    """An unsigned request gets what an ACL (unless disabled or IgnorePublicAcls) or the bucket policy (unless RestrictPublicBuckets) gives to everyone:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html"""
    if call.access_key or call.operation == "Options" or call.operation == "PostObject": return
    bucket = call.s3_bucket
    if call.bucket and not bucket: raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
    action = S3_ACTIONS.get(call.operation, call.operation)
    def public(action, holder, arn):
        everyone = evaluate([s for s in statements(bucket.policy) if to_everyone(s)], "s3:" + action, arn)
        by_acl = holder and holder.acl and holder.acl.public_read and bucket.ownership_rule != "BucketOwnerEnforced" and not blocks(call, "ignore_public_acls")
        return everyone != "Deny" and (by_acl or everyone == "Allow" and not blocks(call, "restrict_public_buckets"))
    arn = "arn:aws:s3:::" + (call.resource or "")
    key = bucket and call.key and bucket.keys.get(call.key)
    by_acl = {"GetObject": key, "ListBucket": bucket}.get(action)
    allowed = bucket and public(action, by_acl, arn)
    if not allowed or call.operation in ("GetObject", "HeadObject") and not key and not public("ListBucket", bucket, "arn:aws:s3:::" + call.bucket):
        raise AwsError("AccessDenied", "Access Denied", 403)
    call.env["HTTP_AUTHORIZATION"] = f"AWS4-HMAC-SHA256 Credential=anonymous/20000101/{call.region}/s3/aws4_request, SignedHeaders=host, Signature=0"  # decided here, not by moto

# -- objects
UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

@rule("s3-delete-objects", "before", "s3", "DeleteObjects")
def s3_delete_objects(call, o):
    """XML 1.0 has no control characters, not even as &#x10;, so a key with one cannot be named here (DeleteObject can): https://github.com/boto/boto3/issues/2005. At most 1,000 keys."""
    text = payload(call).decode("utf8", "replace")
    try:
        ok = not UNSPEAKABLE.search(text) and not any(UNSPEAKABLE.match(chr(int(h, 16) if h else int(d))) for h, d in re.findall("&#(?:x([0-9a-fA-F]+)|([0-9]+));", text))
        ok = ok and 1 <= len(ElementTree.fromstring(text.encode()).findall("{*}Object")) <= 1000
    except (ElementTree.ParseError, ValueError, OverflowError): ok = False
    if not ok: raise AwsError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")

@rule("s3-control-characters", "after", "s3", "ListObjects ListObjectsV2 ListObjectVersions ListMultipartUploads")
def s3_control_characters(call, o, r):
    """Listings write them as &#x10; (moto: raw) unless encoding-type=url is asked for: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html#object-key-xml-related-constraints"""
    r.body = re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", lambda m: b"&#x%x;" % m[0][0], r.body)

@rule("s3-metadata", "before", "s3", "PutObject CopyObject CreateMultipartUpload", bytes=2048)
def s3_metadata(call, o):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html: user metadata, keys and values together, is at most 2 KB."""
    size = sum(len(k) - len("HTTP_X_AMZ_META_") + len(v.encode("latin1", "replace")) for k, v in call.env.items() if k.startswith("HTTP_X_AMZ_META_"))
    if size > o.bytes: raise AwsError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")

def read_objects(call):
    """The keys whose contents the call reads."""
    source = unquote(call.header("x-amz-copy-source")).lstrip("/").split("?")[0]
    return ([call.key] if call.operation in ("GetObject", "SelectObjectContent") or call.operation == "HeadObject" and call.header("x-amz-checksum-mode") else []) + ([source.partition("/")[2]] if source else [])

@rule("s3-kms", "before", "s3", prefixes=[], key="arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555")
def s3_kms(call, o):
    """Objects whose key begins with one of `prefixes` are encrypted with the KMS key `key`: reading them needs kms:Decrypt, which only an enforced role can have here:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html"""
    role = OPTIONS["enforce"]["keys"].get(call.access_key)
    if not any(k.startswith(p) for k in read_objects(call) for p in o.prefixes) or role and evaluate(role_policy(call, role), "kms:Decrypt", o.key, context_of(call)) == "Allow": return
    who = f"arn:aws:sts::{call.account}:assumed-role/{role}/strict-moto" if role else f"arn:aws:iam::{call.account}:user/test"
    raise AwsError("AccessDenied", f"User: {who} is not authorized to perform: kms:Decrypt on resource: {o.key} because no identity-based policy allows the kms:Decrypt action", 403)

@rule("s3-glacier", "before", "s3", prefixes=[])
def s3_glacier(call, o):
    """Objects whose key begins with one of `prefixes` are archived (as those put with the storage class GLACIER or DEEP_ARCHIVE are): reading them is 403
    InvalidObjectState: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""
    if any(k.startswith(p) for k in read_objects(call) for p in o.prefixes): raise AwsError("InvalidObjectState", "The operation is not valid for the object's storage class", 403)
