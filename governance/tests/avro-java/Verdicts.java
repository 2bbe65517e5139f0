import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;

/** Reads pairs of schemas, a line each: older, tab, newer. Says of each whether the newer one reads the older one. */
public final class Verdicts {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        StringBuilder out = new StringBuilder();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] pair = line.split("\t");
            Schema older = new Schema.Parser().parse(pair[0]);
            Schema newer = new Schema.Parser().parse(pair[1]);
            out.append(SchemaCompatibility.checkReaderWriterCompatibility(newer, older).getType()).append('\n');
        }
        System.out.print(out);
    }
}
