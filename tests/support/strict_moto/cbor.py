"""CloudWatch's newer protocol, Smithy RPC v2 with CBOR, which moto does not speak: its requests become those of the Query protocol,
and the answers come back as CBOR (https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html)."""
import re
from urllib.parse import urlencode
import botocore.session
from botocore import parsers, serialize
from .core import Response

MODELS = {"GraniteServiceVersion20100801": "cloudwatch"}
QUERY, QUERY_PARSER = serialize.create_serializer("query"), parsers.create_parser("query")
CBOR, CBOR_PARSER = serialize.RpcV2CBORSerializer(), parsers.RpcV2CBORParser()
SESSION, LOADED = botocore.session.get_session(), {}

def model(service):
    if service not in LOADED: LOADED[service] = SESSION.get_service_model(service)
    return LOADED[service]

def to_query(env, body):
    """The request as a form, and the model of its operation; of any other request itself and None."""
    found = re.fullmatch(r"/service/([^/]+)/operation/([^/]+)", env["PATH_INFO"])
    if not found or found[1] not in MODELS: return env, body, None
    operation = model(MODELS[found[1]]).operation_model(found[2])
    params = CBOR_PARSER.parse_data_item(CBOR_PARSER.get_peekable_stream_from_bytes(body)) if body else {}
    form = urlencode(QUERY.serialize_to_request(params, operation)["body"]).encode()
    env = {**env, "PATH_INFO": "/", "RAW_URI": "/", "REQUEST_URI": "/", "CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": str(len(form))}
    for header in ("HTTP_SMITHY_PROTOCOL", "HTTP_ACCEPT", "HTTP_CONTENT_TYPE"): env.pop(header, None)
    return env, form, operation

def to_cbor(r, operation):
    """The Query protocol's answer as CBOR."""
    parsed = QUERY_PARSER.parse({"status_code": r.status, "headers": {}, "body": r.body}, operation.output_shape)
    headers = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
    if r.status >= 400:
        error, out = parsed.get("Error", {}), bytearray(b"\xa2")
        for key, value in (("__type", error.get("Code") or "InternalFailure"), ("message", error.get("Message") or "")):
            for text in (key, str(value)): CBOR._serialize_type_string(out, text, None, None)
        return Response(r.status, headers + [("x-amzn-query-error", f"{error.get('Code')};Sender")], bytes(out))
    out = bytearray()
    parsed.pop("ResponseMetadata", None)
    if operation.output_shape is None: out.extend(b"\xa0")
    else: CBOR._serialize_data_item(out, parsed, operation.output_shape)
    return Response(r.status, headers, bytes(out))
