"""What a user would write instead of `thumb work`, in Python: the codelab's own solution, boto3 and Pillow.

Reads QUEUE (a name) and THUMBNAILS (a bucket); prints each thumbnail's key; ends when three long polls in a row bring
nothing.
"""

import io
import json
import os

import boto3
from PIL import Image, ImageOps

sqs = boto3.client("sqs")
s3 = boto3.client("s3")
queue_url = sqs.get_queue_url(QueueName=os.environ["QUEUE"])["QueueUrl"]

empty = 0
while empty < 3:
    messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
    empty = 0 if messages else empty + 1
    for message in messages:
        request = json.loads(message["Body"])
        size = (request["width"], request["height"])
        photo = s3.get_object(Bucket=request["bucket"], Key=request["key"])["Body"].read()
        with Image.open(io.BytesIO(photo)) as image:
            thumbnail = ImageOps.fit(image, size)
        out = io.BytesIO()
        thumbnail.save(out, "JPEG", quality=80)
        key = f"{os.path.splitext(request['key'])[0]}-{size[0]}x{size[1]}.jpg"
        s3.put_object(
            Bucket=os.environ["THUMBNAILS"],
            Key=key,
            Body=out.getvalue(),
            ContentType="image/jpeg",
            ACL="public-read",
        )
        sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        print(key, flush=True)
