// What a user would write instead of `thumb work`, in Node: @aws-sdk, sqs-consumer and sharp.
//
// Reads QUEUE (a name) and THUMBNAILS (a bucket); prints each thumbnail's key; ends when three long polls in a row bring
// nothing.

import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { GetQueueUrlCommand, SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import sharp from "sharp";

const sqs = new SQSClient({});
const s3 = new S3Client({ forcePathStyle: true });
const { QueueUrl: queueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: process.env.QUEUE }));

let empty = 0;
const consumer = Consumer.create({
  queueUrl,
  sqs,
  batchSize: 10,
  waitTimeSeconds: 1,
  handleMessage: async (message) => {
    const { bucket, key, width, height } = JSON.parse(message.Body);
    const photo = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    const thumbnail = await sharp(await photo.Body.transformToByteArray())
      .rotate()
      .resize(width, height, { fit: "cover", position: "centre" })
      .jpeg({ quality: 80 })
      .toBuffer();
    const name = `${key.replace(/\.[^./]*$/, "")}-${width}x${height}.jpg`;
    await s3.send(
      new PutObjectCommand({
        Bucket: process.env.THUMBNAILS,
        Key: name,
        Body: thumbnail,
        ContentType: "image/jpeg",
        ACL: "public-read",
      }),
    );
    console.log(name);
    return message;
  },
});
consumer.on("response_processed", () => (empty = 0));
consumer.on("empty", () => {
  empty += 1;
  if (empty === 3) {
    consumer.stop();
  }
});
consumer.on("error", (error) => console.error(error.message));
consumer.on("processing_error", (error) => console.error(error.message));
consumer.start();
