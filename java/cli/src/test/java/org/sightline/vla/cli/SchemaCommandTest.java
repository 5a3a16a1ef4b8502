package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.RunFile;

class SchemaCommandTest {
  @Test
  void typesAndDefaultsAreThoseOfTheOptions() {
    JsonObject schema = Cli.run("schema").json();
    JsonObject properties = schema.getAsJsonObject("properties");
    assertEquals(
        JsonParser.parseString(
            "{\"type\": \"integer\", \"description\": \"Samples per micro-batch.\", \"default\": 8}"),
        properties.get("batch-size"));
    assertEquals(
        JsonParser.parseString(
            "{\"type\": \"string\", \"enum\": [\"float32\", \"bfloat16\"], \"description\":"
                + " \"Of model and adapters: FLOAT32, BFLOAT16.\", \"default\": \"float32\"}"),
        properties.get("dtype"));
    assertEquals(false, schema.get("additionalProperties").getAsBoolean());
    JsonObject defaults = RunFile.options(JobConfig.builder(Path.of("")).build());
    defaults.remove("output");
    defaults
        .entrySet()
        .forEach(
            each ->
                assertEquals(
                    each.getValue(),
                    properties.getAsJsonObject(each.getKey()).get("default"),
                    each.getKey()));
  }
}
