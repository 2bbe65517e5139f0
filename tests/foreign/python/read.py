"""Reads views of Kênh with confluent-kafka: its own registry client, its own Avro deserialiser, nothing of ours.

    KENH_TOKEN=… [CLIENT_SETTINGS=JSON] read.py BOOTSTRAP REGISTRY TOPIC…

Prints one JSON document: for each topic the latest record of each key, without those whose latest is a tombstone, and
what the registry said about its schema.
"""

import json
import os
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def read(bootstrap, registry, topic):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "foreign-python",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # Who it is, on a cluster that asks: certificate, key, the group name that goes with them.
            **json.loads(os.environ.get("CLIENT_SETTINGS", "{}")),
        }
    )
    deserialise = AvroDeserializer(registry)
    context = SerializationContext(topic, MessageField.VALUE)
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    rows, records, tombstones, open_ends = {}, 0, 0, set(partitions)
    while open_ends:
        message = consumer.poll(30)
        if message is None:
            sys.exit(f"{topic}: nothing came for 30 s")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            open_ends.discard(message.partition())
            continue
        records += 1
        key = message.key().decode()
        if message.value() is None:
            tombstones += 1
            rows.pop(key, None)
        else:
            rows[key] = deserialise(message.value(), context)
    consumer.close()
    return rows, records, tombstones


def ask(registry, topic):
    """The schema by its subject, by its text, and whether two others would follow it."""
    subject = f"{topic}-value"
    latest = registry.get_latest_version(subject)
    text = latest.schema.schema_str
    grown = json.loads(text)
    grown["fields"].append({"name": "Them", "type": "int"})
    return {
        "subject": subject,
        "schemaId": latest.schema_id,
        "idByContent": registry.lookup_schema(subject, Schema(text, "AVRO")).schema_id,
        "sameCompatible": registry.test_compatibility(subject, Schema(text, "AVRO")),
        "grownCompatible": registry.test_compatibility(subject, Schema(json.dumps(grown), "AVRO")),
    }


def main():
    bootstrap, url, *topics = sys.argv[1:]
    registry = SchemaRegistryClient({"url": url, "basic.auth.user.info": f"kenh:{os.environ['KENH_TOKEN']}"})
    views = []
    for topic in topics:
        rows, records, tombstones = read(bootstrap, registry, topic)
        views.append({"topic": topic, "records": records, "tombstones": tombstones, "rows": rows, **ask(registry, topic)})
    # A date is datetime.date: as text, YYYY-MM-DD.
    json.dump({"views": views}, sys.stdout, default=str, ensure_ascii=False)


main()
