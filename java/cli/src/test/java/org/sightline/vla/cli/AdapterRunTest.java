package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.formats.FormatException;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;
import org.sightline.vla.policy.AdapterRun;

class AdapterRunTest {
  @TempDir private Path folder;
  private Path adapter;

  @BeforeEach
  void adapter() throws IOException {
    adapter = Files.createDirectories(folder.toRealPath().resolve("run/align"));
  }

  private AdapterRun run(String options) throws IOException {
    String json = "{\"options\": {" + options.replace('\'', '"') + "}}";
    Files.writeString(adapter.resolveSibling("run.json"), json);
    return AdapterRun.of(adapter);
  }

  private Path model(String name) throws IOException {
    Path model = folder.resolve(name);
    OpenVlaConfig nano = OpenVlaConfig.nano();
    HuggingFaceCheckpoint.write(model, nano, Weights.random(nano, 1), DType.BFLOAT16, 1L << 30);
    return model;
  }

  private interface Question {
    void ask() throws IOException;
  }

  private void refused(String must, Question question) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, question::ask);
    Path file = adapter.resolveSibling("run.json");
    String expected =
        must.replace("; ", " as in the training of the adapter (" + file + "), found ");
    assertEquals(expected, e.getMessage());
  }

  @Test
  void withoutARunOptionsAndDefaultsCount() throws IOException {
    Path model = model("model");
    for (AdapterRun none : List.of(AdapterRun.of(null), AdapterRun.of(adapter))) {
      assertEquals(7, none.seed(null));
      assertEquals(5, none.seed(5L));
      assertEquals(0.15, none.evalFraction(null));
      assertEquals(0.5, none.evalFraction(0.5));
      assertEquals("image_0", none.camera(null));
      assertEquals(DType.FLOAT32, none.dtype(null));
      assertTrue(none.centerCrop(null));
      assertNull(none.tokenizer(null));
      assertEquals(List.of(model), none.base(List.of(model), null).weights());
    }
  }

  @Test
  void theRunSpeaksForOptionsThatAreLeftOut() throws IOException {
    AdapterRun run =
        run(
            "'seed': 9007199254740993, 'eval-fraction': 0.3, 'augment': false, 'dtype': 'bfloat16',"
                + " 'camera': 'image_2', 'preset': 'nano', 'tokenizer': '/t/tokenizer.json'");
    assertEquals((1L << 53) + 1, run.seed(null));
    assertEquals(0.3, run.evalFraction(null));
    assertFalse(run.centerCrop(null));
    assertEquals(DType.BFLOAT16, run.dtype(null));
    assertEquals("image_2", run.camera(null));
    assertEquals(Path.of("/t/tokenizer.json"), run.tokenizer(null));
    Path base = adapter.resolveSibling("base");
    assertTrue(
        assertThrows(IllegalArgumentException.class, () -> run.base(List.of(), null))
            .getMessage()
            .endsWith("no such file or folder: " + base));
    Files.move(model("drawn"), base);
    assertEquals(List.of(base), run.base(List.of(), null).weights());
    Files.createDirectories(adapter.resolve("best"));
    assertEquals(0.3, AdapterRun.of(adapter.resolve("best")).evalFraction(null));
    assertEquals(
        0.15, AdapterRun.of(Files.createDirectory(adapter.resolve("x"))).evalFraction(null));
  }

  @Test
  void choicesMayDifferFromTheRunButFactsNot() throws IOException {
    AdapterRun run =
        run(
            "'seed': 3, 'eval-fraction': 0.3, 'augment': true, 'dtype': 'bfloat16',"
                + " 'camera': 'image_2', 'preset': 'nano'");
    assertFalse(run.centerCrop(false));
    assertEquals(DType.FLOAT32, run.dtype(DType.FLOAT32));
    assertEquals("image_1", run.camera("image_1"));
    assertEquals(3, run.seed(3L));
    refused("splitSeed must be 3; 7", () -> run.seed(7L));
    refused("evalFraction must be 0.3; 0.15", () -> run.evalFraction(0.15));
    refused("preset must be nano; openvla-7b", () -> run.base(List.of(), "openvla-7b"));
    Path model = model("model");
    Path base = Files.move(model("drawn"), adapter.resolveSibling("base"));
    refused("weights must be " + base + "; " + model, () -> run.base(List.of(model), null));
  }

  @Test
  void theBaseIsTheRunsUnlessItWasMoved() throws IOException {
    Path model = model("model");
    AdapterRun run = run("'weights': ['" + model + "'], 'tokenizer': '" + model + "'");
    assertEquals(List.of(model), run.base(List.of(), null).weights());
    Path same = folder.resolve("run/../model");
    assertEquals(List.of(same), run.base(List.of(same), null).weights());
    Path other = model("other");
    refused("weights must be " + model + "; " + other, () -> run.base(List.of(other), null));
    refused("tokenizer must be " + model + "; " + other, () -> run.tokenizer(other));
    Path moved = Files.move(model, folder.resolve("moved"));
    assertEquals(List.of(moved), run.base(List.of(moved), null).weights());
    assertEquals(moved, run.tokenizer(moved));
    IllegalArgumentException gone =
        assertThrows(IllegalArgumentException.class, () -> run.base(List.of(), null));
    assertEquals(
        "weights of %s: no such file or folder: %s"
            .formatted(adapter.resolveSibling("run.json"), model),
        gone.getMessage());
  }

  @Test
  void aFileThatIsNoRunsIsRefused() throws IOException {
    AdapterRun run = run("'dtype': 'int8', 'seed': 1.5");
    Path file = adapter.resolveSibling("run.json");
    assertEquals(
        file + ": options.dtype: found \"int8\", expected one of [FLOAT32, BFLOAT16]",
        assertThrows(FormatException.class, () -> run.dtype(null)).getMessage());
    assertEquals(
        file + ": options.seed: found 1.5, expected an integer of 64 bits",
        assertThrows(FormatException.class, () -> run.seed(null)).getMessage());
    Files.writeString(file, "{}");
    assertEquals(
        file + ": options: found no such key, expected an object",
        assertThrows(FormatException.class, () -> AdapterRun.of(adapter)).getMessage());
  }
}
