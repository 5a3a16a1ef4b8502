package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.vla.Fixtures;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;

/**
 * Numbers of a configuration are held against the file's tensors before anything is made of them.
 */
class AbsurdSizesTest {
  private static final String POSITIONS = "text_config.max_position_embeddings";

  /** Other settings of a model of the same tensors. */
  private static final Set<String> FREE =
      Set.of(
          POSITIONS,
          "text_config.bos_token_id",
          "sightline.aligned_layer",
          "n_action_bins",
          "pad_to_multiple_of");

  @TempDir private Path folder;

  @BeforeEach
  void copy() throws IOException {
    Path fixture = Fixtures.root().resolve("openvla/plain");
    for (String name : List.of("config.json", "model.safetensors")) {
      Files.copy(fixture.resolve(name), folder.resolve(name));
    }
  }

  private JsonObject config() throws IOException {
    return JsonParser.parseString(Files.readString(folder.resolve("config.json")))
        .getAsJsonObject();
  }

  /** Paths of all integers, and the objects that hold them. */
  private static void integers(
      String prefix, JsonObject json, List<Map.Entry<String, JsonObject>> to) {
    for (Map.Entry<String, JsonElement> entry : json.entrySet()) {
      String path = prefix + entry.getKey();
      if (entry.getValue().isJsonObject()) {
        integers(path + ".", entry.getValue().getAsJsonObject(), to);
      } else if (entry.getValue().toString().matches("\\d+")) {
        to.add(Map.entry(path, json));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"2147483647", "2147483646", "1073741824", "100000000", "65536", "0", "-1", "1e18"})
  void everyIntegerIsRefusedAtOnce(String value) throws IOException {
    JsonObject config = config();
    List<Map.Entry<String, JsonObject>> found = new ArrayList<>();
    integers("", config, found);
    assertTrue(found.size() > 25, found.size() + " integers");
    for (Map.Entry<String, JsonObject> place : found) {
      String path = place.getKey();
      String key = path.substring(path.lastIndexOf('.') + 1);
      JsonElement before = place.getValue().get(key);
      if (before.toString().equals(value)) {
        continue;
      }
      place.getValue().add(key, JsonParser.parseString(value));
      Files.writeString(folder.resolve("config.json"), config.toString());
      place.getValue().add(key, before);
      assertTimeoutPreemptively(Duration.ofSeconds(10), () -> refusedOrFree(path), path);
    }
  }

  private void refusedOrFree(String path) {
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(folder)) {
      assertTrue(FREE.contains(path), path + " was accepted: " + checkpoint.config());
    } catch (IOException e) {
      assertTrue(e.getMessage().contains(folder.toString()), e.getMessage());
    }
  }

  @Test
  void aDepthIsHeldAgainstTheNumberOfTensors() throws IOException {
    JsonObject config = config();
    config.getAsJsonObject("text_config").addProperty("num_hidden_layers", 2147483647);
    Files.writeString(folder.resolve("config.json"), config.toString());
    String message =
        assertThrows(IOException.class, () -> HuggingFaceCheckpoint.open(folder)).getMessage();
    assertTrue(
        message.contains(
            "text_config.num_hidden_layers: found 2147483647 blocks, expected at most"),
        message);
  }

  @Test
  void statisticsAreOfAnAction() throws IOException {
    JsonObject config = config();
    String action = "{\"toy\": {\"action\": {\"mean\": [0.5%s]}}}".formatted(", 0.5".repeat(1000));
    config.add("norm_stats", JsonParser.parseString(action));
    Files.writeString(folder.resolve("config.json"), config.toString());
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(folder)) {
      String message = assertThrows(IOException.class, checkpoint::statistics).getMessage();
      assertTrue(message.contains("toy.action.mean: found [0.5,"), message);
      assertTrue(message.endsWith("expected at most 1000 numbers, one a dimension"), message);
    }
  }

  /** Positions cost what is used of them. */
  @Test
  void positionsAreNotAllocatedBeforeUse() throws IOException {
    JsonObject config = config();
    List<Double> losses = new ArrayList<>();
    for (int positions : new int[] {64, Integer.MAX_VALUE}) {
      config.getAsJsonObject("text_config").addProperty("max_position_embeddings", positions);
      Files.writeString(folder.resolve("config.json"), config.toString());
      try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(folder);
          OpenVla model =
              OpenVla.of(checkpoint.config(), checkpoint, DType.FLOAT32, LoraPlan.none(), 0);
          PointerScope scope = new PointerScope()) {
        var batch = TinyModels.batch(checkpoint.config(), 1, 9, 9, 7);
        losses.add(model.forward(batch, Set.of()).actionLoss().item_double());
      }
    }
    assertEquals(losses.get(0), losses.get(1));
  }

  /** Beyond the first table: the angles are computed when a sequence comes that far. */
  @Test
  void aTableOfPositionsGrows() {
    var config = new LlamaConfig(8, 8, 1, 1, 400, 1_000_000, 1e-6, 10000);
    var modules = new Modules(null, Device.CPU, DType.FLOAT32, LoraPlan.none(), 0);
    try (PointerScope scope = new PointerScope()) {
      var rope = new RotaryEmbedding(modules, config);
      int first = 9000;
      double[] found = TinyModels.doubles(rope.forward(torch.ones(1, 1, 2, 8), first));
      for (int token = 0; token < 2; token++) {
        for (int i = 0; i < 4; i++) {
          float angle = (first + token) * (float) Math.pow(10000, -2.0 * i / 8);
          assertEquals(Math.cos(angle) - Math.sin(angle), found[token * 8 + i], 1e-5);
          assertEquals(Math.cos(angle) + Math.sin(angle), found[token * 8 + 4 + i], 1e-5);
        }
      }
    }
  }
}
