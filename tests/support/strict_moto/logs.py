"""Rules of CloudWatch Logs."""
from .core import *

RETENTION_DAYS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
EVENT_OVERHEAD, BATCH_BYTES, BATCH_EVENTS, EVENT_BYTES, SPAN_MS = 26, 1_048_576, 10_000, 1_048_576, 24 * 3_600_000

def invalid(text): return AwsError("InvalidParameterException", text)

@rule("logs-names", "before", "logs", "CreateLogGroup CreateLogStream PutLogEvents PutRetentionPolicy")
def logs_names(call, o):
    """https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html and API_CreateLogStream.html"""
    group, stream = call.params.get("logGroupName", ""), call.params.get("logStreamName")
    if not re.fullmatch(r"[.\-_/#A-Za-z0-9]{1,512}", group): raise invalid(f"1 validation error detected: Value '{group}' at 'logGroupName' failed to satisfy constraint")
    if stream is not None and not re.fullmatch(r"[^:*]{1,512}", stream): raise invalid(f"1 validation error detected: Value '{stream}' at 'logStreamName' failed to satisfy constraint")

@rule("logs-retention", "before", "logs", "PutRetentionPolicy")
def logs_retention(call, o):
    """Only some numbers of days: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"""
    if call.params.get("retentionInDays") not in RETENTION_DAYS: raise invalid(f"Invalid retention value: {call.params.get('retentionInDays')}")

@rule("logs-tags", "before", "logs", "CreateLogGroup TagResource ListTagsForResource UntagResource")
def logs_tags(call, o):
    """At most 50 tags, none of aws:, and an ARN without `:*`: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_TagResource.html"""
    tags = call.params.get("tags") or {}
    if len(tags) > 50 or any(key.lower().startswith("aws:") or len(key) > 128 or len(value) > 256 for key, value in tags.items()): raise invalid("Invalid tags")
    if call.params.get("resourceArn", "").endswith("*"): raise invalid("Invalid ARN")

@rule("logs-put", "before", "logs", "PutLogEvents")
def logs_put(call, o):
    """The limits of a batch, and its order: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html"""
    events = call.params.get("logEvents") or []
    times, sizes = [e["timestamp"] for e in events], [len(e["message"].encode()) for e in events]
    if not 1 <= len(events) <= BATCH_EVENTS: raise invalid("1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length less than or equal to 10000")
    if times != sorted(times): raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > SPAN_MS: raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
    if min(sizes) < 1: raise invalid("Log event message is empty.")
    if max(sizes) > EVENT_BYTES: raise invalid(f"Log event too large: {max(sizes)} bytes exceeds limit of {EVENT_BYTES}")
    if sum(sizes) + EVENT_OVERHEAD * len(events) > BATCH_BYTES: raise invalid(f"Upload too large: {sum(sizes) + EVENT_OVERHEAD * len(events)} bytes exceeds limit of {BATCH_BYTES}")

@rule("logs-filter", "before", "logs", "FilterLogEvents")
def logs_filter(call, o):
    """https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html"""
    p = call.params
    if p.get("logStreamNames") and p.get("logStreamNamePrefix"): raise invalid("LogStreamNamePrefix and LogStreamNames are mutually exclusive")
    if len(p.get("logStreamNames") or []) > 100 or not 1 <= p.get("limit", 1) <= 10_000: raise invalid("1 validation error detected")
