package org.sightline.vla;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.AdamW;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.ProjectorConfig;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.FineTuner;
import org.sightline.train.Mode;
import org.sightline.train.TrainingState;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.TinyModels;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.TeacherFile;
import org.sightline.vla.teacher.VisionTeacher;

/** Model, teacher and trainer together, on seeded random weights and one batch. */
class AlignedFineTuningTest {
  private static final OpenVlaConfig CONFIG = TinyModels.config();
  private static final int STEPS = 40;

  @TempDir private Path folder;

  private static Iterator<VlaBatch> batches(int count) {
    return IntStream.range(0, count)
        .mapToObj(i -> TinyModels.batch(CONFIG, 1, 10, 10, 9))
        .iterator();
  }

  @ParameterizedTest
  @EnumSource(Mode.class)
  void everyModeLearnsAndKeepsItsPromise(Mode mode) throws Exception {
    Path file = folder.resolve("teacher.safetensors");
    var vision =
        VisionConfig.vit(12, 4, 24, 2, 3, 40)
            .with()
            .classTokens(1)
            .classPosition(true)
            .layerScale(true)
            .build();
    var half = List.of(0.5, 0.5, 0.5);
    TeacherFile.writeRandom(file, new TeacherConfig(vision, true, half, half, "random"), 7);
    try (var teacher = VisionTeacher.open(file, CONFIG.dino().grid(), DType.FLOAT32);
        var model =
            new OpenVla(
                CONFIG,
                spec -> TinyModels.weight(spec, 1),
                DType.FLOAT32,
                LoraConfig.of(8, 8),
                2)) {
      Map<String, Tensor> before = copies(model);
      var config =
          FineTuneConfig.builder(mode, STEPS)
              .alignedLayers(List.of(CONFIG.alignedLayer()))
              .projector(ProjectorConfig.of(CONFIG.text().hiddenSize(), 64, teacher.width()))
              .lambda(2)
              .optimizer(
                  new AdamW.Config(2e-3, 0.9, 0.999, 1e-8, 0.01, 0, false, AdamW.Precision.MASTER))
              .build();
      try (var state = new TrainingState<>(model, teacher, config)) {
        Evaluation start = state.evaluate(batches(1));
        FineTuner.fit(state, batches(STEPS));
        Evaluation end = state.evaluate(batches(1));
        assertTrue(end.actionLoss() < 0.3 * start.actionLoss(), start + " to " + end);
        double gain =
            end.cosine().get(CONFIG.alignedLayer()) - start.cosine().get(CONFIG.alignedLayer());
        if (mode == Mode.ALIGN) {
          assertTrue(gain > 0.1, "cosine gained " + gain);
        }
      }
      model
          .trainableParameters()
          .forEach(
              (name, tensor) -> {
                boolean locked = mode == Mode.FREEZE && model.isVisionParameter(name);
                assertEquals(locked, tensor.equal(before.get(name)), name);
              });
      before.values().forEach(Tensor::close);
    }
  }

  private static Map<String, Tensor> copies(OpenVla model) {
    var copies = new LinkedHashMap<String, Tensor>();
    model
        .trainableParameters()
        .forEach((name, tensor) -> copies.put(name, tensor.detach().clone()));
    return copies;
  }
}
