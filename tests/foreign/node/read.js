// Reads views of Kênh with KafkaJS and Confluent's registry client for JavaScript, nothing of ours.
//
//     KENH_TOKEN=… node read.js BOOTSTRAP REGISTRY TOPIC…
//
// Prints one JSON document: for each topic the latest record of each key, without those whose latest is a tombstone, and
// what the registry said about its schema.
'use strict'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require('kafkajs')
const { AvroDeserializer, SchemaRegistryClient, SerdeType } = require('@confluentinc/schemaregistry')
const lz4 = require('lz4js')
const { CalendarDate } = require('./dates')

// Views are compressed with LZ4, for which KafkaJS wants a package beside it.
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})

const PATIENCE_MS = 30000

async function read(kafka, deserialiser, topic) {
  const admin = kafka.admin()
  await admin.connect()
  const ends = new Map((await admin.fetchTopicOffsets(topic)).map(o => [o.partition, BigInt(o.high)]))
  await admin.disconnect()
  const open = new Set([...ends].filter(([, end]) => end > 0n).map(([partition]) => partition))

  // A new group at each run, which begins at the beginning and leaves nothing behind.
  const consumer = kafka.consumer({ groupId: `foreign-node-${process.pid}-${topic}` })
  const rows = {}
  let records = 0
  let tombstones = 0
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${topic}: not at its end after ${PATIENCE_MS} ms`)), PATIENCE_MS)
    const done = () => {
      if (open.size === 0) {
        clearTimeout(timer)
        resolve()
      }
    }
    // The end is behind the marker of the last transaction, which no message tells of; this event counts it in.
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      if (BigInt(payload.lastOffset) + 1n >= ends.get(payload.partition)) open.delete(payload.partition)
      done()
    })
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    done()
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        records++
        const key = message.key.toString()
        if (message.value === null) {
          tombstones++
          delete rows[key]
        } else {
          rows[key] = await deserialiser.deserialize(topic, message.value)
        }
      },
    }).catch(reject)
  })
  await consumer.disconnect()
  return { records, tombstones, rows }
}

// The schema by its subject, by its text, and whether two others would follow it.
async function ask(registry, topic) {
  const subject = `${topic}-value`
  const latest = await registry.getLatestSchemaMetadata(subject)
  const same = { schema: latest.schema, schemaType: 'AVRO' }
  const grown = JSON.parse(latest.schema)
  grown.fields.push({ name: 'Them', type: 'int' })
  return {
    subject,
    schemaId: latest.id,
    idByContent: await registry.getId(subject, same),
    sameCompatible: await registry.testSubjectCompatibility(subject, same),
    grownCompatible: await registry.testSubjectCompatibility(subject, { schema: JSON.stringify(grown), schemaType: 'AVRO' }),
  }
}

async function main() {
  const [bootstrap, url, ...topics] = process.argv.slice(2)
  const registry = new SchemaRegistryClient({
    baseURLs: [url],
    basicAuthCredentials: { credentialsSource: 'USER_INFO', userInfo: `kenh:${process.env.KENH_TOKEN}` },
  })
  const deserialiser = new AvroDeserializer(registry, SerdeType.VALUE, { logicalTypes: { date: CalendarDate } })
  const kafka = new Kafka({ clientId: 'foreign-node', brokers: bootstrap.split(','), logLevel: logLevel.ERROR })
  const views = []
  for (const topic of topics) {
    views.push({ topic, ...(await read(kafka, deserialiser, topic)), ...(await ask(registry, topic)) })
  }
  process.stdout.write(JSON.stringify({ views }))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
