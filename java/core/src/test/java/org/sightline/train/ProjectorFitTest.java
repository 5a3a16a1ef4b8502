package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.AlignmentProjector;
import org.sightline.formats.FormatException;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.Toy.ToyTeacher;

class ProjectorFitTest extends FineTunerFixture {
  private static final FineTuneConfig CONFIG =
      config(Mode.ALIGN, 10).alignedLayers(List.of(1, 2)).teacherNorm(TeacherNorm.SPATIAL).build();

  @TempDir private Path folder;

  private static List<Float> bits(Map<Integer, AlignmentProjector> projectors) {
    List<Float> all = new ArrayList<>();
    ProjectorFile.tensors(projectors)
        .values()
        .forEach(
            tensor -> {
              float[] values = new float[(int) tensor.numel()];
              new FloatPointer(tensor.data_ptr_float()).get(values);
              for (float value : values) {
                all.add(value);
              }
            });
    return all;
  }

  private static Iterator<Batch> heldOut() {
    return Toy.batches(4, 8, 900).iterator();
  }

  @Test
  void projectorsLearnToPredictTheTeacherWhileThePolicyKeepsItsBits() {
    try (ToyPolicy policy = new ToyPolicy(0.3);
        ToyTeacher teacher = new ToyTeacher();
        ProjectorFit<Batch> fit = new ProjectorFit<>(policy, teacher, CONFIG, 150);
        TrainingState<Batch> run = new TrainingState<>(policy, teacher, CONFIG)) {
      assertEquals(bits(run.projectors()), bits(fit.projectors()), "it begins with the run's");
      List<List<Float>> before = Toy.bits(policy, "");
      Map<Integer, Double> random = fit.cosine(heldOut());
      Iterator<Batch> batches = Toy.cycle(Toy.batches(20, 8, 1));
      int steps = 0;
      while (fit.step(batches)) {
        steps++;
      }
      assertEquals(150, steps);
      assertEquals(150, fit.curve().size());
      Map<Integer, Double> fitted = fit.cosine(heldOut());
      for (int layer : List.of(1, 2)) {

        assertTrue(fitted.get(layer) > random.get(layer) + 0.3, fitted + " after " + random);
        assertEquals(fit.curve().get(149).get(layer), fitted.get(layer), 0.15);
      }
      assertEquals(before, Toy.bits(policy, ""));
      policy
          .trainableParameters()
          .forEach((name, tensor) -> assertFalse(tensor.grad().defined(), name));
      assertFalse(policy.gradMode.contains(true));
      assertTrue(policy.training.get(policy.training.size() - 1), "left as it was");
    }
  }

  /** Of one layer, against libtorch's own graph of the projector and the cosine. */
  @Test
  void theCosineIsThatOfTheFrozenProjectorOnWhatThePolicyGives() {
    FineTuneConfig one = config(Mode.ALIGN, 10).build();
    try (ToyPolicy policy = new ToyPolicy();
        ToyTeacher teacher = new ToyTeacher();
        ProjectorFit<Batch> fit = new ProjectorFit<>(policy, teacher, one, 5)) {
      Iterator<Batch> batches = Toy.cycle(Toy.batches(3, 4, 1));
      while (fit.step(batches)) {}
      ProjectorFile.tensors(fit.projectors());
      try (TrainingState<Batch> run = new TrainingState<>(policy, teacher, one)) {
        Path file = folder.resolve(ProjectorFile.NAME);
        ProjectorFile.write(file, fit.projectors(), Map.of("result", "0.5"));
        ProjectorFile.load(file, run.projectors());
        assertEquals(bits(fit.projectors()), bits(run.projectors()));
        // The run's own evaluation sees the weights that were loaded.
        assertEquals(fit.cosine(heldOut()).get(1), run.evaluate(heldOut()).cosine().get(1), 1e-6);
      } catch (java.io.IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
    }
  }

  @Test
  void theSameSeedGivesTheSameBitsAndAnotherOthers() {
    List<List<Float>> found = new ArrayList<>();
    for (long seed : new long[] {0, 0, 1}) {
      FineTuneConfig config = config(Mode.ALIGN, 1).projector(Toy.PROJECTOR.withSeed(seed)).build();
      try (ToyPolicy policy = new ToyPolicy();
          ToyTeacher teacher = new ToyTeacher();
          ProjectorFit<Batch> fit = new ProjectorFit<>(policy, teacher, config, 3)) {
        Iterator<Batch> batches = Toy.cycle(Toy.batches(2, 4, 1));
        while (fit.step(batches)) {}
        found.add(bits(fit.projectors()));
      }
    }
    assertEquals(found.get(0), found.get(1));
    assertNotEquals(found.get(0), found.get(2));
  }

  @Test
  void whatCannotBeFittedOrLoadedIsNamed() throws Exception {
    try (ToyPolicy policy = new ToyPolicy();
        ToyTeacher teacher = new ToyTeacher()) {
      FineTuneConfig none = config(Mode.DEFAULT, 1).alignedLayers(List.of()).build();
      assertEquals(
          "config must align a layer, found none",
          assertThrows(
                  IllegalArgumentException.class,
                  () -> new ProjectorFit<>(policy, teacher, none, 1))
              .getMessage());
      assertEquals(
          "steps must be at least 1, found 0",
          assertThrows(
                  IllegalArgumentException.class,
                  () -> new ProjectorFit<>(policy, teacher, CONFIG, 0))
              .getMessage());
      Batch broken = Toy.batches(1, 4, 1).get(0);
      try (ProjectorFit<Batch> fit = new ProjectorFit<>(policy, teacher, CONFIG, 1);
          PointerScope scope = new PointerScope()) {
        broken.x.fill_(new Scalar(Double.NaN));
        assertTrue(
            assertThrows(
                    IllegalArgumentException.class, () -> fit.cosine(List.of(broken).iterator()))
                .getMessage()
                .startsWith("held-out cosine of layer 1 must be finite, found NaN"));
      }
      Path file = folder.resolve("projector.safetensors");
      try (TrainingState<Batch> two = new TrainingState<>(policy, teacher, CONFIG);
          TrainingState<Batch> one =
              new TrainingState<>(policy, teacher, config(Mode.ALIGN, 1).build())) {
        ProjectorFile.write(file, two.projectors());
        assertTrue(
            assertThrows(FormatException.class, () -> ProjectorFile.load(file, one.projectors()))
                .getMessage()
                .contains("layer_2.net.0.weight"));
        Tensor bias = two.projectors().get(1).parameters().get("net.7.bias");
        try (PointerScope scope = new PointerScope();
            NoGradGuard noGrad = new NoGradGuard()) {
          bias.fill_(new Scalar(Double.NaN));
        }
        ProjectorFile.write(file, two.projectors());
        assertTrue(
            assertThrows(FormatException.class, () -> ProjectorFile.load(file, two.projectors()))
                .getMessage()
                .contains("must be finite"));
      }
    }
  }
}
