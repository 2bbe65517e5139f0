// Reads views of Kênh with franz-go, its registry client and hamba/avro, nothing of ours.
//
//	KENH_TOKEN=… read BOOTSTRAP REGISTRY TOPIC…
//
// Prints one JSON document: for each topic the latest record of each key, without those whose latest is a tombstone, and
// what the registry said about its schema.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"
)

const patience = 30 * time.Second

type view struct {
	Topic           string         `json:"topic"`
	Subject         string         `json:"subject"`
	SchemaID        int            `json:"schemaId"`
	IDByContent     int            `json:"idByContent"`
	SameCompatible  bool           `json:"sameCompatible"`
	GrownCompatible bool           `json:"grownCompatible"`
	Records         int            `json:"records"`
	Tombstones      int            `json:"tombstones"`
	Rows            map[string]any `json:"rows"`
}

// decoder keeps the schemas that record values name by their ids.
type decoder struct {
	registry *sr.Client
	schemas  map[int]avro.Schema
}

func (d *decoder) decode(ctx context.Context, value []byte) (any, error) {
	var header sr.ConfluentHeader
	id, body, err := header.DecodeID(value)
	if err != nil {
		return nil, err
	}
	schema, known := d.schemas[id]
	if !known {
		found, err := d.registry.SchemaByID(ctx, id)
		if err != nil {
			return nil, err
		}
		if schema, err = avro.Parse(found.Schema); err != nil {
			return nil, err
		}
		d.schemas[id] = schema
	}
	var row any
	if err := avro.Unmarshal(schema, body, &row); err != nil {
		return nil, err
	}
	return plain(row), nil
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
	case []any:
		for i, inner := range value {
			value[i] = plain(inner)
		}
	}
	return value
}

// partitions asks how many a topic has.
func partitions(ctx context.Context, client *kgo.Client, topic string) ([]int32, error) {
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr(topic)
	request.Topics = append(request.Topics, asked)
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	var found []int32
	for _, partition := range answer.Topics[0].Partitions {
		found = append(found, partition.Partition)
	}
	return found, nil
}

func (v *view) read(ctx context.Context, bootstrap []string, decoder *decoder) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The end is behind the marker of the last transaction: with the markers kept, the last record tells it.
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	there, err := partitions(ctx, client, v.Topic)
	if err != nil {
		return err
	}
	open, start := map[int32]bool{}, map[int32]kgo.Offset{}
	for _, partition := range there {
		open[partition], start[partition] = true, kgo.NewOffset().AtStart()
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{v.Topic: start})
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%s: %w", v.Topic, err)
		}
		fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
			for _, record := range fetched.Records {
				if record.Offset+1 >= fetched.HighWatermark {
					delete(open, record.Partition)
				}
				if record.Attrs.IsControl() || err != nil {
					continue
				}
				v.Records++
				if record.Value == nil {
					v.Tombstones++
					delete(v.Rows, string(record.Key))
					continue
				}
				var row any
				if row, err = decoder.decode(ctx, record.Value); err == nil {
					v.Rows[string(record.Key)] = row
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ask gets the schema by its subject, by its text, and asks whether two others would follow it.
func (v *view) ask(ctx context.Context, registry *sr.Client) error {
	latest, err := registry.SchemaByVersion(ctx, v.Subject, -1)
	if err != nil {
		return err
	}
	v.SchemaID = latest.ID
	same := sr.Schema{Schema: latest.Schema.Schema, Type: sr.TypeAvro}
	found, err := registry.LookupSchema(ctx, v.Subject, same)
	if err != nil {
		return err
	}
	v.IDByContent = found.ID
	var grown map[string]any
	if err := json.Unmarshal([]byte(same.Schema), &grown); err != nil {
		return err
	}
	grown["fields"] = append(grown["fields"].([]any), map[string]any{"name": "Them", "type": "int"})
	text, err := json.Marshal(grown)
	if err != nil {
		return err
	}
	answer, err := registry.CheckCompatibility(ctx, v.Subject, -1, same)
	if err != nil {
		return err
	}
	v.SameCompatible = answer.Is
	answer, err = registry.CheckCompatibility(ctx, v.Subject, -1, sr.Schema{Schema: string(text), Type: sr.TypeAvro})
	v.GrownCompatible = answer.Is
	return err
}

func run() error {
	ctx := context.Background()
	bootstrap, url, topics := strings.Split(os.Args[1], ","), os.Args[2], os.Args[3:]
	registry, err := sr.NewClient(sr.URLs(url), sr.BasicAuth("kenh", os.Getenv("KENH_TOKEN")))
	if err != nil {
		return err
	}
	decoder := &decoder{registry: registry, schemas: map[int]avro.Schema{}}
	views := []*view{}
	for _, topic := range topics {
		view := &view{Topic: topic, Subject: topic + "-value", Rows: map[string]any{}}
		if err := view.read(ctx, bootstrap, decoder); err != nil {
			return err
		}
		if err := view.ask(ctx, registry); err != nil {
			return err
		}
		views = append(views, view)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"views": views})
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
