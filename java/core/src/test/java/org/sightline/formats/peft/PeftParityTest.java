package org.sightline.formats.peft;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.LoraConfig;
import org.sightline.formats.FormatException;

/**
 * Configurations against what PEFT itself made of them: {@code peft_fixtures.py}, among the scripts
 * of java/vla.
 */
class PeftParityTest {
  private static final Path FIXTURE = Path.of("src/test/fixtures/peft.json");

  @TempDir private Path folder;

  private static JsonObject fixture() throws IOException {
    return JsonParser.parseString(Files.readString(FIXTURE)).getAsJsonObject();
  }

  private static Stream<JsonObject> cases(JsonArray array) {
    return StreamSupport.stream(array.spliterator(), false).map(JsonElement::getAsJsonObject);
  }

  private PeftConfig read(JsonObject config) throws IOException {
    Path file = Files.createTempFile(folder, "adapter_config", ".json");
    Files.writeString(file, config.toString());
    return PeftConfigReader.read(file, List.of("unused"));
  }

  @TestFactory
  Stream<DynamicTest> theSameModulesWithTheSameRankAndScaling() throws IOException {
    JsonObject fixture = fixture();
    List<String> modules = new ArrayList<>();
    fixture.getAsJsonArray("modules").forEach(name -> modules.add(name.getAsString()));
    return cases(fixture.getAsJsonArray("adapted"))
        .map(
            adapted -> {
              JsonObject config = adapted.getAsJsonObject("config");
              return DynamicTest.dynamicTest(
                  "%s of %s, without %s, ranks %s"
                      .formatted(
                          config.get("target_modules"),
                          config.get("layers_to_transform"),
                          config.get("exclude_modules"),
                          config.get("rank_pattern")),
                  () -> check(config, modules, adapted.getAsJsonObject("modules")));
            });
  }

  private void check(JsonObject json, List<String> modules, JsonObject wrapped) throws IOException {
    PeftConfig config = read(json);
    Map<String, List<Double>> expected = new TreeMap<>();
    wrapped
        .asMap()
        .forEach(
            (module, values) ->
                expected.put(
                    module,
                    List.of(
                        values.getAsJsonArray().get(0).getAsDouble(),
                        values.getAsJsonArray().get(1).getAsDouble())));
    assertEquals(expected, adapted(config, modules));
    // What we write of it means the same to us; that PEFT reads it, PythonReadsOurFilesTest shows.
    JsonObject written = JsonParser.parseString(config.toJson()).getAsJsonObject();
    assertEquals(expected, adapted(read(written), modules));
  }

  private static Map<String, List<Double>> adapted(PeftConfig config, List<String> modules) {
    Map<String, List<Double>> found = new TreeMap<>();
    for (String module : modules) {
      if (config.targets().matches(module)) {
        LoraConfig lora = config.loraOf(module);
        found.put(module, List.of((double) lora.rank(), lora.scale()));
      }
    }
    return found;
  }

  @TestFactory
  Stream<DynamicTest> whatDoesMoreThanLoraIsRefusedByName() throws IOException {
    return cases(fixture().getAsJsonArray("refused"))
        .map(
            refused -> {
              String key = refused.get("key").getAsString();
              JsonObject config = refused.getAsJsonObject("config");
              return DynamicTest.dynamicTest(
                  key + " " + config.get(key),
                  () -> {
                    var e = assertThrows(FormatException.class, () -> read(config));
                    assertTrue(e.getMessage().contains(": " + key + ": found "), e.getMessage());
                  });
            });
  }
}
