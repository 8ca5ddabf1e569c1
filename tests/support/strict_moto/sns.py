"""Rules of SNS."""
from moto.sns.models import sns_backends
from .core import *

PAYLOAD_BYTES, BATCH = 262_144, 10

def invalid(text): return AwsError("InvalidParameter", f"Invalid parameter: {text}")

def backend(call): return sns_backends[call.account][call.region]

def pending(call, arn):
    """Whether a subscription by e-mail waits for its receiver."""
    one = backend(call).subscriptions.get(arn)
    return bool(one) and one.protocol in ("email", "email-json") and not STATE.get(("confirmed", one.topic.arn, one.endpoint))

def tags_of(call, prefix="Tags"):
    keys = {k.split(".")[-2]: v for k, v in call.params.items() if re.fullmatch(prefix + r"\.member\.\d+\.Key", k)}
    return {key: call.params.get(f"{prefix}.member.{n}.Value", "") for n, key in keys.items()}

@rule("sns-topic-tags", "before", "sns", "CreateTopic")
def sns_topic_tags(call, o):
    """Creating a topic again gives its ARN, unless the tags differ: https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html"""
    topic = backend(call).topics.get(f"arn:aws:sns:{call.region}:{call.account}:{call.params.get('Name')}")
    if topic and tags_of(call) and tags_of(call) != topic._tags: raise invalid("Tags Reason: Topic already exists with different tags")

@rule("sns-subscribe", "before", "sns", "Subscribe")
def sns_subscribe(call, o):
    """https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html; filters: https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html"""
    p = call.params
    if p.get("Protocol") == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", p.get("Endpoint", "")): raise invalid("Email address")
    attributes = {p[k]: p.get(k[:-3] + "value") for k in p if re.fullmatch(r"Attributes\.entry\.\d+\.key", k)}
    if attributes.get("FilterPolicyScope", "MessageAttributes") not in ("MessageAttributes", "MessageBody"): raise invalid("FilterPolicyScope: Invalid value")
    try: policy = json.loads(attributes.get("FilterPolicy") or "{}")
    except ValueError: raise invalid("FilterPolicy: failed to parse JSON")
    if not isinstance(policy, dict) or any(not isinstance(v, list) for v in policy.values()): raise invalid("FilterPolicy: \"key\" must be an object or an array")

@rule("sns-pending-confirmation", "after", "sns", "Subscribe ListSubscriptionsByTopic ListSubscriptions")
def sns_pending_confirmation(call, o, r):
    """A subscription by e-mail has no ARN until its receiver has confirmed: https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html ("pending
    confirmation"), https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html ("PendingConfirmation")."""
    word = b"pending confirmation" if call.operation == "Subscribe" else b"PendingConfirmation"
    def hide(found): return b"<SubscriptionArn>" + (word if pending(call, found[1].decode()) else found[1]) + b"</SubscriptionArn>"
    return Response(r.status, r.headers, re.sub(rb"<SubscriptionArn>([^<]*)</SubscriptionArn>", hide, r.body))

@rule("sns-pending-confirmation", "before", "sns", "ConfirmSubscription Unsubscribe SetSubscriptionAttributes GetSubscriptionAttributes")
def sns_confirm(call, o):
    """Confirms for the address that stands here for the token; a pending subscription can be neither ended nor changed."""
    arn = call.params.get("SubscriptionArn", "")
    if call.operation == "ConfirmSubscription": return confirmed(call)
    if not arn.startswith("arn:") or pending(call, arn): raise invalid("SubscriptionArn Reason: An ARN must have at least 6 elements")
    if call.operation == "Unsubscribe" and arn not in backend(call).subscriptions: raise AwsError("NotFound", "Subscription does not exist", 404)

def confirmed(call):
    topic, address = call.params["TopicArn"], call.params["Token"]
    STATE["confirmed", topic, address] = True
    one = next((s for s in backend(call).subscriptions.values() if s.topic.arn == topic and s.endpoint == address), None)
    if not one: raise invalid("Token")
    return result(call, {"SubscriptionArn": one.arn})

@rule("sns-publish-batch", "before", "sns", "PublishBatch")
def sns_publish_batch(call, o):
    """At most ten messages, 256 KiB together with their attributes: https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html"""
    entry = r"PublishBatchRequestEntries\.member\.(\d+)\."
    numbers = {re.match(entry, k)[1] for k in call.params if re.match(entry, k)}
    if not numbers: raise AwsError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(numbers) > BATCH: raise AwsError("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
    size = sum(len(v.encode()) for k, v in call.params.items() if re.match(entry + r"(Message$|MessageAttributes\.)", k))
    if size > PAYLOAD_BYTES: raise AwsError("BatchRequestTooLong", "The length of all the batch messages put together is more than the limit.")
    if any(k.endswith(".Message") and not v for k, v in call.params.items()): raise invalid("Empty message")
