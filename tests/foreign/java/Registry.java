import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.apicurio.registry.client.RegistryClientFactory;
import io.apicurio.registry.client.common.RegistryClientOptions;
import io.apicurio.registry.resolver.client.RegistryClientFacadeImpl;
import io.apicurio.registry.rest.client.RegistryClient;
import io.apicurio.registry.rest.client.models.CreateVersion;
import io.apicurio.registry.rest.client.models.ProblemDetails;
import io.apicurio.registry.rest.client.models.RuleViolationProblemDetails;
import io.apicurio.registry.rest.client.models.VersionContent;
import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.apache.avro.generic.GenericRecord;

/**
 * Apicurio's Java client and its Avro serdes against a registry of Kênh, nothing of ours.
 *
 * <pre>KENH_CA=… KENH_CERT=… KENH_KEY=… java Registry REGISTRY &lt; TASK.json</pre>
 *
 * The files are PEM: whom to trust, who we are. What is asked and what is told: see clients.rs.
 */
public class Registry {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        // 3.1.7 of the serdes has no setting for a client certificate; its client has, and the serdes take that.
        RegistryClient registry = RegistryClientFactory.create(RegistryClientOptions.create(args[0] + "/apis/registry/v3")
            .trustStorePem(System.getenv("KENH_CA"))
            .keystorePem(System.getenv("KENH_CERT"), System.getenv("KENH_KEY")));
        JsonNode task = JSON.readTree(System.in);
        String subject = task.get("subject").asText(), topic = task.get("topic").asText();
        var versions = registry.groups().byGroupId("default").artifacts().byArtifactId(subject).versions();

        Map<String, Object> told = new HashMap<>();
        long registered = versions.post(version(task.get("released").asText())).getContentId();
        told.put("registered", registered);
        told.put("byId", text(registry.ids().contentIds().byContentId(registered).get()));
        var latest = versions.byVersionExpression("branch=latest").get();
        told.put("latest", latest.getContentId());
        told.put("byVersion", versions.byVersionExpression(latest.getVersion()).get().getGlobalId());
        var found = new RegistryClientFacadeImpl(registry)
            .searchVersionsByContent(task.get("released").asText(), "AVRO", reference(subject), false);
        told.put("byContent", found.get(0).getContentId());
        for (String name : List.of("wider", "narrower")) {
            var asked = version(task.get(name).asText());
            told.put(name, refusal(() -> versions.post(asked)));
            var fits = refusal(() -> versions.post(asked, request -> request.queryParameters.dryRun = true));
            told.put(name + "Fits", fits.get("status").equals(200));
            told.put(name + "Causes", fits.get("causes"));
        }
        var another = registry.groups().byGroupId("default").artifacts().byArtifactId(task.get("another").asText());
        told.put("another", refusal(() -> another.versions().byVersionExpression("branch=latest").get()));

        var deserialiser = new AvroKafkaDeserializer<GenericRecord>(new RegistryClientFacadeImpl(registry));
        deserialiser.configure(new HashMap<>(), false);
        byte[] record = Base64.getDecoder().decode(task.get("record").asText());
        GenericRecord row = deserialiser.deserialize(topic, record);
        told.put("row", JSON.readTree(row.toString()));
        // It registers what it writes with: the id is that of the record.
        told.put("again", serialised(registry, topic, row, Map.of("apicurio.registry.auto-register", true)));
        // Without that it finds the version by the schema's text; or takes the newest, and writes its global id.
        told.put("againByText", serialised(registry, topic, row, Map.of()));
        told.put("againByLatest", serialised(registry, topic, row,
            Map.of("apicurio.registry.find-latest", true, "apicurio.registry.use-id", "globalId")));
        System.out.write(JSON.writeValueAsBytes(told));
        System.out.flush();
        // The client's own threads go on otherwise.
        System.exit(0);
    }

    private static String serialised(RegistryClient registry, String topic, GenericRecord row, Map<String, ?> settings) {
        var serialiser = new AvroKafkaSerializer<GenericRecord>(new RegistryClientFacadeImpl(registry));
        // Named types stay inside the schema; otherwise it registers each of them by itself.
        var all = new HashMap<String, Object>(Map.of("apicurio.registry.dereference-schema", true));
        all.putAll(settings);
        serialiser.configure(all, false);
        return Base64.getEncoder().encodeToString(serialiser.serialize(topic, row));
    }

    private static io.apicurio.registry.resolver.strategy.ArtifactReference reference(String subject) {
        return io.apicurio.registry.resolver.strategy.ArtifactReference.builder().artifactId(subject).build();
    }

    private static CreateVersion version(String schema) {
        var content = new VersionContent();
        content.setContent(schema);
        content.setContentType("application/json");
        var version = new CreateVersion();
        version.setContent(content);
        return version;
    }

    private static String text(java.io.InputStream body) throws Exception {
        return new String(body.readAllBytes(), UTF_8);
    }

    private static Map<String, Object> refusal(Callable<?> call) throws Exception {
        try {
            call.call();
            return Map.of("status", 200);
        } catch (RuleViolationProblemDetails refused) {
            var causes = refused.getCauses().stream().map(cause -> cause.getDescription()).toList();
            return Map.of("status", refused.getStatus(), "message", refused.getDetail(), "causes", causes);
        } catch (ProblemDetails refused) {
            return Map.of("status", refused.getStatus(), "message", refused.getDetail());
        }
    }
}
