package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.sightline.AdamW;
import org.sightline.Sightline;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.LearningRateSchedule.Shape;

/**
 * Schedules against transformers' and steps of the optimizer against PyTorch's: {@code
 * training_fixtures.py}, among the scripts of java/vla.
 */
class TrainingParityTest {
  private static final Path FIXTURES = Path.of("src/test/fixtures");

  /**
   * Twelve steps in fp32, of some ten roundings each that mostly do not add up; four ulps a step.
   */
  private static final double TOLERANCE = 12 * 4 * Math.ulp(1f) / 2;

  @BeforeAll
  static void load() {
    Sightline.load();
  }

  private static JsonObject fixture() throws IOException {
    return JsonParser.parseString(Files.readString(FIXTURES.resolve("training.json")))
        .getAsJsonObject();
  }

  private static LearningRateSchedule schedule(String name, int warmup) {
    return switch (name) {
      case "constant" -> new LearningRateSchedule(Shape.CONSTANT, warmup);
      case "linear" -> new LearningRateSchedule(Shape.LINEAR, warmup);
      case "cosine" -> new LearningRateSchedule(Shape.COSINE, warmup);
      default -> throw new IllegalArgumentException(name);
    };
  }

  /** In double on both sides: the cosine may differ in its last bit. */
  @Test
  void everyStepHasTheRateOfTransformers() throws IOException {
    for (JsonElement element : fixture().getAsJsonArray("schedules")) {
      JsonObject run = element.getAsJsonObject();
      int steps = run.get("steps").getAsInt();
      int warmup = run.get("warmup").getAsInt();
      String name = run.get("name").getAsString();
      int step = 0;
      for (JsonElement factor : run.getAsJsonArray("factors")) {
        assertEquals(
            factor.getAsDouble(),
            schedule(name, warmup).factor(step, steps),
            2 * Math.ulp(1.0),
            "%s, warm-up %d of %d, step %d".formatted(name, warmup, steps, step));
        step++;
      }
      assertEquals(steps + 2, step);
    }
  }

  @Test
  void stepsAreThoseOfTorchOptim() throws IOException {
    JsonObject settings = fixture().getAsJsonObject("adamw");
    int steps = settings.get("steps").getAsInt();
    double rate = settings.get("learning_rate").getAsDouble();
    var config =
        new AdamW.Config(
            rate,
            0.9,
            0.999,
            1e-8,
            settings.get("weight_decay").getAsDouble(),
            settings.get("max_norm").getAsDouble(),
            true,
            AdamW.Precision.MASTER);
    LearningRateSchedule schedule = schedule("cosine", settings.get("warmup").getAsInt());
    try (PointerScope scope = new PointerScope();
        Safetensors file = Safetensors.open(FIXTURES.resolve("training.safetensors"))) {
      List<Tensor> parameters = new ArrayList<>();
      for (int i = 0; i < 2; i++) {
        parameters.add(file.tensor("before." + i).set_requires_grad(true));
      }
      int clipped = 0;
      try (AdamW optimizer = new AdamW(parameters, config)) {
        for (int step = 0; step < steps; step++) {
          for (int i = 0; i < 2; i++) {
            Tensor gradient = file.tensor("gradients." + i).select(0, step).clone();
            parameters.get(i).mutable_grad().put(gradient);
          }
          optimizer.setLearningRate(rate * schedule.factor(step, steps));
          clipped += optimizer.step().clipFactor() < 1 ? 1 : 0;
        }
        assertTrue(clipped > 0 && clipped < steps, clipped + " steps clipped");
        Map<String, Tensor> state = optimizer.state();
        for (int i = 0; i < 2; i++) {
          requireClose(parameters.get(i), file.tensor("after." + i), "parameter " + i);
          for (String moment : List.of("exp_avg", "exp_avg_sq")) {
            String name = moment + "." + i;
            requireClose(state.get(name), file.tensor(name), name);
          }
        }
      }
    }
  }

  private static void requireClose(Tensor found, Tensor expected, String what) {
    double error =
        found.detach().sub(expected).norm().item_double() / expected.norm().item_double();
    assertTrue(error <= TOLERANCE, what + ": error " + error);
  }
}
