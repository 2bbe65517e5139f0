"""Submits people as G01 with confluent-kafka: librdkafka's partitioner, Confluent's Avro serialiser, nothing of ours.

    KENH_TOKEN=… write.py BOOTSTRAP REGISTRY TOPIC SUBMISSION PARTITIONER < PEOPLE.json

PARTITIONER is librdkafka's setting; `default` leaves it alone (consistent_random). PEOPLE.json is a JSON array of records.
Prints for each the partition that it went to, in their order: the same for a run with murmur2_random tells where it
should have gone.
"""

import datetime
import json
import os
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def envelope(submission, number, person):
    for place in (person["NoiOHienTai"], person["ThuongTru"]):
        place["MaXaTu"] = datetime.date.fromisoformat(place["MaXaTu"])
    return {
        "BanTin": {"Id": submission, "SoThuTu": number},
        "SuKien": "NEW",
        "PhienBan": 1,
        "ThoiGianCapNhat": datetime.datetime(2025, 7, 2, tzinfo=datetime.timezone.utc),
        "NgayHieuLuc": None,
        "LyDoCapNhat": None,
        "VanBan": [],
        "TraceContext": None,
        "DuLieu": person,
    }


def main():
    bootstrap, url, topic, submission, partitioner = sys.argv[1:]
    registry = SchemaRegistryClient({"url": url, "basic.auth.user.info": f"kenh:{os.environ['KENH_TOKEN']}"})
    schema = registry.get_latest_version(f"{topic}-value").schema.schema_str
    # As it comes: it registers what it writes with, and is answered the id of what is released already.
    serialise = AvroSerializer(registry, schema)
    context = SerializationContext(topic, MessageField.VALUE)
    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True}
    if partitioner != "default":
        settings["partitioner"] = partitioner
    producer = Producer(settings)
    people = json.load(sys.stdin)
    went = [None] * len(people)

    def delivered(index):
        def note(error, message):
            if error:
                sys.exit(f"record {index + 1} was not delivered: {error}")
            went[index] = message.partition()

        return note

    for index, person in enumerate(people):
        value = serialise(envelope(submission, index + 1, person), context)
        producer.produce(topic, key=person["SoDinhDanh"], value=value, on_delivery=delivered(index))
    if producer.flush(30):
        sys.exit("not everything was delivered within 30 s")
    json.dump({"partitions": went}, sys.stdout)


main()
