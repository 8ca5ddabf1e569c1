"""Rules of CloudWatch's dashboards."""
from moto.cloudwatch.models import cloudwatch_backends
from .core import *

def dashboard(call, name): return cloudwatch_backends[call.account][call.region].dashboards.get(name)

def invalid(text): return AwsError("InvalidParameterInput", text)

@rule("cloudwatch-dashboard-body", "before", "cloudwatch", "PutDashboard")
def cloudwatch_dashboard_body(call, o):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    call.note["new"] = not dashboard(call, call.params.get("DashboardName"))
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", call.params.get("DashboardName", "")): raise invalid("The dashboard name is invalid")
    try: widgets = json.loads(call.params.get("DashboardBody", ""))["widgets"]
    except (ValueError, TypeError, KeyError): raise invalid("The field DashboardBody must be a valid JSON object")
    for w in widgets:
        if w.get("type") not in ("text", "metric", "log", "alarm", "explorer") or not isinstance(w.get("properties"), dict): raise invalid(f"Invalid widget {w}")
        if not (0 <= w.get("x", 0) <= 23 and w.get("x", 0) + w.get("width", 6) <= 24 and 1 <= w.get("height", 6) <= 1000): raise invalid(f"Invalid place of widget {w}")
        if w["type"] == "metric" and not (w["properties"].get("region") and w["properties"].get("metrics")): raise invalid("A metric widget needs a region and metrics")

@rule("cloudwatch-dashboard-tags", "after", "cloudwatch", "PutDashboard DeleteDashboards")
def cloudwatch_dashboard_tags(call, o, r):
    """Tags come with the creation and are ignored later: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html. moto has none."""
    if r.status != 200 or call.operation != "PutDashboard": return
    found, tagger = dashboard(call, call.params["DashboardName"]), cloudwatch_backends[call.account][call.region].tagger
    keys = {k.split(".")[2]: v for k, v in call.params.items() if re.fullmatch(r"Tags\.member\.\d+\.Key", k)}
    if call.note.get("new"):
        tagger.delete_all_tags_for_resource(found.arn)
        tagger.tag_resource(found.arn, [{"Key": key, "Value": call.params.get(f"Tags.member.{n}.Value", "")} for n, key in keys.items()])

@rule("cloudwatch-dashboard-tags", "before", "cloudwatch", "TagResource UntagResource")
def cloudwatch_tag_dashboard(call, o):
    """A dashboard can be tagged: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_TagResource.html"""
    arn, backend = call.params.get("ResourceARN", ""), cloudwatch_backends[call.account][call.region]
    if ":dashboard/" not in arn: return
    if not dashboard(call, arn.rsplit("/", 1)[1]): raise AwsError("ResourceNotFoundException", "Unknown", 404)
    if call.operation == "UntagResource": backend.tagger.untag_resource_using_names(arn, call.members("TagKeys"))
    else:
        keys = {k.split(".")[2]: v for k, v in call.params.items() if re.fullmatch(r"Tags\.member\.\d+\.Key", k)}
        backend.tagger.tag_resource(arn, [{"Key": key, "Value": call.params.get(f"Tags.member.{n}.Value", "")} for n, key in keys.items()])
    return result(call)
