// Confluent's registry client for Go and its Avro deserialiser against a registry of Kênh, nothing of ours.
//
//	KENH_CA=… KENH_CERT=… KENH_KEY=… registry REGISTRY < TASK.json
//
// The files are PEM: whom to trust, who we are. What is asked and what is told: see clients.rs.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/rest"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde/avrov2"
)

type task struct {
	Subject, Released, Wider, Narrower, Topic, Another string
	Record                                             []byte
}

type refusal struct {
	Status  int    `json:"status"`
	Message string `json:"message"`
}

// refused says how the registry refused a call.
func refused[T any](answer T, err error) refusal {
	var told *rest.Error
	switch {
	case err == nil:
		return refusal{200, fmt.Sprint(answer)}
	case errors.As(err, &told):
		// Its status is not kept; Confluent's codes begin with it.
		status := told.Code
		for status >= 1000 {
			status /= 10
		}
		return refusal{status, told.Message}
	}
	log.Fatal(err)
	panic("it has ended")
}

func connect() schemaregistry.Client {
	config := schemaregistry.NewConfig(os.Args[1])
	config.SslCaLocation = os.Getenv("KENH_CA")
	config.SslCertificateLocation = os.Getenv("KENH_CERT")
	config.SslKeyLocation = os.Getenv("KENH_KEY")
	return must(schemaregistry.NewClient(config))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// plain gives a date its text; everything else JSON has already.
func plain(value any) any {
	switch value := value.(type) {
	case time.Time:
		return value.Format(time.DateOnly)
	case map[string]any:
		for name, inner := range value {
			value[name] = plain(inner)
		}
	}
	return value
}

func main() {
	var task task
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil {
		log.Fatal(err)
	}
	avro := func(schema string) schemaregistry.SchemaInfo {
		return schemaregistry.SchemaInfo{Schema: schema, SchemaType: "AVRO"}
	}
	released, wider, narrower := avro(task.Released), avro(task.Wider), avro(task.Narrower)
	registry := connect()
	registered := must(registry.Register(task.Subject, released, false))
	// A client remembers what it registered; this one has to ask.
	reader := connect()
	latest := must(reader.GetLatestSchemaMetadata(task.Subject))

	deserialiser := must(avrov2.NewDeserializer(reader, serde.ValueSerde, avrov2.NewDeserializerConfig()))
	row := map[string]any{}
	if err := deserialiser.DeserializeInto(task.Topic, task.Record, &row); err != nil {
		log.Fatal(err)
	}
	// It is told to write with the newest version, since a map says no schema that it could register.
	config := avrov2.NewSerializerConfig()
	config.AutoRegisterSchemas, config.UseLatestVersion = false, true
	serialiser := must(avrov2.NewSerializer(reader, serde.ValueSerde, config))
	again := must(serialiser.Serialize(task.Topic, &row))
	told := map[string]any{
		"subjects":     must(reader.GetAllSubjects()),
		"registered":   registered,
		"byId":         must(reader.GetBySubjectAndID(task.Subject, registered)).Schema,
		"byVersion":    must(reader.GetSchemaMetadata(task.Subject, latest.Version)).ID,
		"latest":       latest.ID,
		"byContent":    must(reader.GetID(task.Subject, released, false)),
		"wider":        refused(registry.Register(task.Subject, wider, false)),
		"narrower":     refused(registry.Register(task.Subject, narrower, false)),
		"widerFits":    must(registry.TestCompatibility(task.Subject, latest.Version, wider)),
		"narrowerFits": must(registry.TestSubjectCompatibility(task.Subject, narrower)),
		"another":      refused(reader.GetLatestSchemaMetadata(task.Another)),
		"row":          plain(row),
		"again":        again,
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		log.Fatal(err)
	}
}
