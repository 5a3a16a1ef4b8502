package org.sightline.train.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.AdamW;
import org.sightline.Sightline;
import org.sightline.train.checkpoint.Checkpointable.State;

class CheckpointableTest {
  @ParameterizedTest
  @ValueSource(strings = {"", "[1]", "3", "null", "{", "{\"a\":1"})
  void textMustBeAJsonObject(String text) {
    var e = assertThrows(IllegalArgumentException.class, () -> State.ofJson(text));
    assertEquals("json must be a JSON object, found " + text, e.getMessage());
  }

  /** A checkpoint from which nothing but NaN would follow; what is live keeps its values. */
  @Test
  void weightsThatAreNotFiniteAreNotRestored() {
    Sightline.load();
    try (PointerScope scope = new PointerScope()) {
      Tensor live = torch.ones(2, 2).set_requires_grad(true);
      Tensor saved = torch.full(new long[] {2, 2}, new Scalar(Double.NaN));
      TensorsPart weights = new TensorsPart("parameters", () -> Map.of("a", live));
      assertRefused(
          "checkpoint: parameters: a must be finite, found NaN at [0, 0]",
          () -> weights.restore(new State(Map.of("a", saved), "{}")));
      assertTrue(live.equal(torch.ones(2, 2)));
      try (AdamW adamW = new AdamW(List.of(live), AdamW.Config.defaults())) {
        Map<String, Tensor> state = new LinkedHashMap<>(adamW.state());
        state.put("exp_avg_sq.0", saved);
        assertRefused(
            "checkpoint: optimizer: exp_avg_sq.0 must be finite, found NaN at [0, 0]",
            () -> new OptimizerPart(adamW).restore(new State(state, "{}")));
        assertEquals(0, adamW.state().get("exp_avg_sq.0").sum().item_double());
      }
    }
  }

  @Test
  void textIsKeptAsItIs() {
    String text = "{ \"epoch\":  3 }";
    assertEquals(text, State.ofJson(text).json());
    assertTrue(State.ofJson(text).tensors().isEmpty());
    assertThrows(
        UnsupportedOperationException.class, () -> new State(Map.of(), "{}").tensors().clear());
  }

  private static void assertRefused(String message, Executable action) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, action).getMessage());
  }
}
