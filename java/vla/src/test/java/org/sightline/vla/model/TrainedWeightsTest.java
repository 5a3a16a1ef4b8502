package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.AdamW;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.binding.Scopes;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.loader.VlaBatch;

/** A model whose own weights are trained. */
class TrainedWeightsTest {
  private static final OpenVlaConfig CONFIG = TinyModels.config();

  @TempDir private Path folder;

  private static Weights weights() {
    return spec -> TinyModels.weight(spec, 1);
  }

  private static OpenVla model(java.util.function.Predicate<String> trained) {
    return OpenVla.trainable(CONFIG, weights(), Device.CPU, DType.FLOAT32, trained);
  }

  private static float[] logits(OpenVla model, VlaBatch batch) {
    try (PointerScope scope = new PointerScope()) {
      Tensor logits = Scopes.withoutGradient(() -> model.logits(batch));
      float[] values = new float[(int) logits.numel()];
      new FloatPointer(logits.contiguous().data_ptr_float()).get(values);
      return values;
    }
  }

  private static double loss(OpenVla model, VlaBatch batch) {
    try (PointerScope scope = new PointerScope()) {
      return Scopes.withoutGradient(
          () -> model.forward(batch, Set.of()).actionLoss().item_double());
    }
  }

  @Test
  void everyWeightOnThePathHasTheGradientOfFiniteDifferences() {
    try (VlaBatch batch = TinyModels.batch(CONFIG, 1, 12, 12, 9);
        OpenVla model = model(name -> true)) {
      Map<String, Tensor> parameters = model.trainableParameters();
      Set<String> known = new TreeSet<>();
      ModelSpec.of(CONFIG).parameters().forEach(spec -> known.add(spec.name()));
      assertTrue(known.containsAll(parameters.keySet()), parameters.keySet()::toString);
      try (PointerScope scope = new PointerScope()) {
        model.forward(batch, Set.of()).actionLoss().backward();
        model.forward(batch, Set.of()).actionLoss().backward(); // Graphs are not shared.
      }
      int checked = 0;
      for (Map.Entry<String, Tensor> entry : parameters.entrySet()) {
        try (PointerScope scope = new PointerScope()) {
          Tensor gradient = entry.getValue().grad();
          assertTrue(gradient.defined(), entry.getKey());
          Tensor flat = gradient.view(-1);
          long where = flat.abs().argmax().item_long();
          double expected = flat.select(0, where).item_double() / 2;
          Tensor element = entry.getValue().detach().view(-1).select(0, where);
          float before = element.item_float();
          double step = 1e-2 * Math.max(0.1, Math.abs(before));
          element.fill_(new Scalar(before + step));
          double above = loss(model, batch);
          element.fill_(new Scalar(before - step));
          double below = loss(model, batch);
          element.fill_(new Scalar((double) before));
          double found = (above - below) / (2 * step);
          assertEquals(expected, found, 0.05 * Math.abs(expected) + 2e-4, entry.getKey());
          checked += Math.abs(expected) > 1e-3 ? 1 : 0;
        }
      }
      assertTrue(checked > parameters.size() / 2, checked + " of " + parameters.size());
    }
  }

  @Test
  void whatWasTrainedIsWrittenAndReadBack() throws Exception {
    try (VlaBatch batch = TinyModels.batch(CONFIG, 1, 12, 12, 9);
        OpenVla model = model(name -> true);
        AdamW optimizer =
            new AdamW(List.copyOf(model.trainableParameters().values()), AdamW.Config.defaults())) {
      double before = loss(model, batch);
      for (int i = 0; i < 10; i++) {
        try (PointerScope scope = new PointerScope()) {
          model.forward(batch, Set.of()).actionLoss().backward();
          optimizer.step();
        }
      }
      assertTrue(loss(model, batch) < before - 0.05, before + " -> " + loss(model, batch));
      Path saved = folder.resolve("model");
      HuggingFaceCheckpoint.write(
          saved, CONFIG, model.trainedWeights(weights()), DType.FLOAT32, Long.MAX_VALUE);
      try (HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(saved);
          OpenVla again = new OpenVla(CONFIG, read, DType.FLOAT32, null, 0)) {
        assertArrayEquals(logits(model, batch), logits(again, batch));
      }
    }
  }

  @Test
  void theOthersStayAsTheyAre() {
    try (OpenVla some = model(name -> name.contains("norm") && name.startsWith("language_model"));
        OpenVla none = model(name -> false)) {
      assertTrue(none.trainableParameters().isEmpty());
      assertFalse(some.trainableParameters().isEmpty());
      for (String name : some.trainableParameters().keySet()) {
        assertTrue(name.contains("norm"), name);
        assertFalse(some.isVisionParameter(name));
      }
    }
  }

  @Test
  void picoIsSmallEnoughToTrainWhole() {
    OpenVlaConfig pico = OpenVlaConfig.ofPreset("pico");
    long parameters = 0;
    for (ParameterSpec spec : ModelSpec.of(pico).parameters()) {
      parameters += spec.elements();
    }
    assertTrue(parameters == 1_305_088, "" + parameters);
    assertEquals(31, pico.actions().bins());
    assertEquals(993, pico.actionTokenBegin());
  }
}
