// Confluent's registry client for JavaScript and its Avro serdes against a registry of Kênh, nothing of ours.
//
//     KENH_CA=… KENH_CERT=… KENH_KEY=… node registry.js REGISTRY < TASK.json
//
// The files are PEM: whom to trust, who we are. What is asked and what is told: see clients.rs.
'use strict'

const fs = require('fs')
const https = require('https')
const { AvroDeserializer, AvroSerializer, SchemaRegistryClient, SerdeType } = require('@confluentinc/schemaregistry')
const { CalendarDate } = require('./dates')

async function refusal(call) {
  try {
    return { status: 200, message: JSON.stringify(await call()) }
  } catch (error) {
    return { status: error.status, message: error.message }
  }
}

async function main() {
  const pem = name => fs.readFileSync(process.env[name])
  const httpsAgent = new https.Agent({ ca: pem('KENH_CA'), cert: pem('KENH_CERT'), key: pem('KENH_KEY') })
  const connect = () => new SchemaRegistryClient({ baseURLs: [process.argv[2]], createAxiosDefaults: { httpsAgent } })
  const registry = connect()
  const task = JSON.parse(fs.readFileSync(0))
  const { subject, topic } = task
  const avro = schema => ({ schema, schemaType: 'AVRO' })
  const [released, wider, narrower] = [avro(task.released), avro(task.wider), avro(task.narrower)]
  const registered = await registry.register(subject, released)
  // A client remembers what it registered; this one has to ask.
  const reader = connect()
  const latest = await reader.getLatestSchemaMetadata(subject)

  const logicalTypes = { date: CalendarDate }
  const deserialiser = new AvroDeserializer(reader, SerdeType.VALUE, { logicalTypes })
  const row = await deserialiser.deserialize(topic, Buffer.from(task.record, 'base64'))
  // It is told to write with the newest version, since avsc makes no schema that we would have to register.
  const serialiser = new AvroSerializer(reader, SerdeType.VALUE, { useLatestVersion: true, autoRegisterSchemas: false, logicalTypes })
  const told = {
    subjects: await reader.getAllSubjects(),
    registered,
    byId: (await reader.getBySubjectAndId(subject, registered)).schema,
    byVersion: (await reader.getSchemaMetadata(subject, latest.version)).id,
    latest: latest.id,
    byContent: await reader.getId(subject, released),
    wider: await refusal(() => registry.register(subject, wider)),
    narrower: await refusal(() => registry.register(subject, narrower)),
    widerFits: await registry.testCompatibility(subject, latest.version, wider),
    narrowerFits: await registry.testSubjectCompatibility(subject, narrower),
    another: await refusal(() => reader.getLatestSchemaMetadata(task.another)),
    row,
    again: (await serialiser.serialize(topic, row)).toString('base64'),
  }
  process.stdout.write(JSON.stringify(told))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
