"""Confluent's own client for Python against a running node: what it finds goes to stdout as JSON."""

import base64
import json
import os

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

topic = os.environ["KENH_TOPIC"]
client = SchemaRegistryClient(
    {"url": os.environ["KENH_URL"], "basic.auth.user.info": "anybody:" + os.environ["KENH_TOKEN"]}
)


def code(call):
    try:
        call()
    except SchemaRegistryError as error:
        return error
    raise SystemExit("this should have been refused")


assert topic + "-value" in client.get_subjects()
latest = client.get_latest_version(topic + "-value")
assert client.get_versions(topic + "-value") == [latest.version]
assert client.get_schema(latest.schema_id).schema_str == latest.schema.schema_str
assert client.lookup_schema(topic + "-value", latest.schema).schema_id == latest.schema_id
# What is released is registered already.
assert client.register_schema(topic + "-value", latest.schema) == latest.schema_id

other = Schema('{"type": "record", "name": "Other", "fields": [{"name": "a", "type": "string"}]}', "AVRO")
value = AvroDeserializer(client)(
    base64.b64decode(os.environ["KENH_RECORD"]), SerializationContext(topic, MessageField.VALUE)
)
print(
    json.dumps(
        {
            "record": value,
            "missing": code(lambda: client.get_latest_version("ho-tich-value")).error_code,
            "refused": code(lambda: client.register_schema("ho-tich-value", other)).http_status_code,
            "compatible": client.test_compatibility(topic + "-value", latest.schema),
        },
        default=str,
    )
)
