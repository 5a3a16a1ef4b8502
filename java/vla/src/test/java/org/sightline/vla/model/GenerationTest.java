package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.linear;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.vla.data.loader.VlaBatch;

/** Token by token with a cache, against whole forward passes over ever longer sequences. */
class GenerationTest {
  private static final OpenVlaConfig CONFIG = TinyModels.config();
  private static final Map<String, Tensor> WEIGHTS = TinyModels.weights(CONFIG, 1);
  private static final int COUNT = 9;

  @AfterAll
  static void release() {
    WEIGHTS.values().forEach(Tensor::close);
  }

  private static OpenVla model(boolean adapted) {
    return new OpenVla(
        CONFIG, Weights.of(WEIGHTS), DType.FLOAT32, adapted ? TinyModels.LORA : null, 5);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theCacheChangesNothing(boolean adapted) {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model(adapted)) {
      VlaBatch batch = TinyModels.batch(CONFIG, 3, 6, 6, 6);
      long[][] generated = model.generate(batch.pixelValues(), batch.inputIds(), COUNT);
      long[][] expected = byWholePasses(model, batch);
      assertTrue(
          Arrays.stream(expected).flatMapToLong(Arrays::stream).distinct().count() > 3,
          "a model that repeats itself tests nothing");
      assertArrayEquals(expected, generated);
    }
  }

  private static long[][] byWholePasses(OpenVla model, VlaBatch prompt) {
    int rows = (int) prompt.size();
    var expected = new long[rows][COUNT];
    Tensor ids = prompt.inputIds();
    Tensor head = WEIGHTS.get("language_model.lm_head.weight");
    int layers = CONFIG.text().layers();
    for (int i = 0; i < COUNT; i++) {
      VlaBatch batch =
          new VlaBatch(prompt.pixelValues(), ids, torch.ones_like(ids), ids, prompt.actions());
      Tensor states = model.forward(batch, Set.of(layers)).hiddenStates().get(layers);
      Tensor next =
          linear(states.select(1, states.size(1) - 1), head).argmax(new LongOptional(1), false);
      for (int b = 0; b < rows; b++) {
        expected[b][i] = next.select(0, b).item_long();
      }
      ids = torch.cat(new org.bytedeco.pytorch.TensorVector(ids, next.unsqueeze(1)), 1);
    }
    return expected;
  }

  @Test
  void rowsDoNotInfluenceEachOther() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model(true)) {
      VlaBatch batch = TinyModels.batch(CONFIG, 3, 6, 6, 6);
      long[][] together = model.generate(batch.pixelValues(), batch.inputIds(), COUNT);
      for (int row = 0; row < 2; row++) {
        Tensor pixels = batch.pixelValues().narrow(0, row, 1);
        long[][] alone = model.generate(pixels, batch.inputIds().narrow(0, row, 1), COUNT);
        assertArrayEquals(together[row], alone[0]);
      }
    }
  }

  /** What is chosen is what the next token follows from. */
  @Test
  void tokensMayBeChosenOtherwise() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model(false)) {
      VlaBatch batch = TinyModels.batch(CONFIG, 3, 6, 6, 6);
      long[][] free = model.generate(batch.pixelValues(), batch.inputIds(), COUNT);
      TokenChoice fixedFirst =
          (logits, position) ->
              position == 0
                  ? new long[] {free[0][0] == 5 ? 6 : 5, free[1][0]}
                  : TokenChoice.MOST_LIKELY.choose(logits, position);
      long[][] forced = model.generate(batch.pixelValues(), batch.inputIds(), COUNT, fixedFirst);
      assertArrayEquals(free[1], forced[1]);
      assertTrue(!Arrays.equals(free[0], 1, COUNT, forced[0], 1, COUNT));
    }
  }

  @Test
  void badPromptsAreRefused() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model(false)) {
      VlaBatch batch = TinyModels.batch(CONFIG, 3, 6, 6, 6);
      Tensor pixels = batch.pixelValues();
      refuse(
          "pixelValues must have shape [2, 6, 15, 15], found [1, 6, 15, 15]",
          () -> model.generate(pixels.narrow(0, 0, 1), batch.inputIds(), 1));
      refuse(
          "inputIds must be int64, found Int",
          () -> model.generate(pixels, batch.inputIds().to(ScalarType.Int), 1));
      refuse(
          "inputIds row 0 must start with BOS 1",
          () -> model.generate(pixels, batch.inputIds().narrow(1, 1, 5), 1));
      refuse(
          "count must be at least 1, found 0", () -> model.generate(pixels, batch.inputIds(), 0));
      refuse(
          "sequence must have at most 64 tokens, found 65",
          () -> model.generate(pixels, batch.inputIds(), 64 - 9 - 6 + 2));
    }
  }

  private static void refuse(String message, Runnable call) {
    Throwable error = assertThrows(IllegalArgumentException.class, call::run);
    assertEquals(
        message,
        error.getMessage().substring(0, Math.min(message.length(), error.getMessage().length())));
  }
}
