"""Confluent's registry client for Python and its Avro serdes against a registry of Kênh, nothing of ours.

    KENH_CA=… KENH_CERT=… KENH_KEY=… registry.py REGISTRY < TASK.json

The files are PEM: whom to trust, who we are. What is asked and what is told: see clients.rs.
"""

import base64
import json
import os
import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext


def refusal(call, *args):
    try:
        return {"status": 200, "message": repr(call(*args))}
    except SchemaRegistryError as error:
        return {"status": error.http_status_code, "message": error.error_message}


def main():
    settings = {
        "url": sys.argv[1],
        "ssl.ca.location": os.environ["KENH_CA"],
        "ssl.certificate.location": os.environ["KENH_CERT"],
        "ssl.key.location": os.environ["KENH_KEY"],
    }
    registry = SchemaRegistryClient(settings)
    task = json.load(sys.stdin)
    subject = task["subject"]
    released, wider, narrower = (Schema(task[name], "AVRO") for name in ("released", "wider", "narrower"))
    registered = registry.register_schema(subject, released)
    # A client remembers what it registered; this one has to ask.
    reader = SchemaRegistryClient(settings)
    latest = reader.get_latest_version(subject)

    context = SerializationContext(task["topic"], MessageField.VALUE)
    record = base64.b64decode(task["record"])
    row = AvroDeserializer(reader)(record, context)
    schema = reader.get_latest_version(f"{task['topic']}-value").schema.schema_str
    told = {
        "subjects": reader.get_subjects(),
        "registered": registered,
        "byId": reader.get_schema(registered).schema_str,
        "byVersion": reader.get_version(subject, latest.version).schema_id,
        "latest": latest.schema_id,
        "byContent": reader.lookup_schema(subject, released).schema_id,
        "wider": refusal(registry.register_schema, subject, wider),
        "narrower": refusal(registry.register_schema, subject, narrower),
        # `verbose` is written into the query as Python writes it, and answered with a Boolean all the same.
        "widerFits": registry.test_compatibility(subject, wider, verbose=True),
        "narrowerFits": registry.test_compatibility_all_versions(subject, narrower, verbose=True),
        "another": refusal(reader.get_latest_version, task["another"]),
        "row": row,
        # It registers what it writes with: the id is that of the record.
        "again": base64.b64encode(AvroSerializer(registry, schema)(row, context)).decode(),
    }
    # A date is datetime.date: as text, YYYY-MM-DD.
    json.dump(told, sys.stdout, default=str, ensure_ascii=False)


main()
