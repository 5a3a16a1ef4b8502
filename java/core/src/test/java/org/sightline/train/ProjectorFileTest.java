package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.AlignmentProjector;
import org.sightline.DType;
import org.sightline.ProjectorConfig;
import org.sightline.Values;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.Toy.ToyTeacher;

class ProjectorFileTest {
  @TempDir Path folder;

  /** Every weight of every layer's projector is optimised, saved, and comes back. */
  @Test
  void trainedProjectorsOfAllLayersAreSaved() throws Exception {
    Path file = folder.resolve(ProjectorFile.NAME);
    ProjectorConfig trainable =
        new ProjectorConfig(Toy.HIDDEN, 16, Toy.FEATURES, true, 0, DType.FLOAT32, 3);
    FineTuneConfig config =
        FineTuneConfig.builder(Mode.ALIGN, 3)
            .alignedLayers(List.of(2, 1))
            .projector(trainable)
            .build();
    try (ToyPolicy policy = new ToyPolicy();
        ToyTeacher teacher = new ToyTeacher();
        TrainingState<Toy.Batch> state = new TrainingState<>(policy, teacher, config)) {
      List<List<Float>> before = values(state.projectors());
      FineTuner.fit(state, Toy.cycle(Toy.batches(2, 8, 1)));
      List<List<Float>> after = values(state.projectors());
      assertEquals(16, after.size());
      for (int i = 0; i < after.size(); i++) {
        assertTrue(!before.get(i).equals(after.get(i)), "parameter " + i + " was not trained");
      }
      ProjectorFile.write(file, state.projectors());
      Map<Integer, AlignmentProjector> read = ProjectorFile.read(file, DType.FLOAT32);
      assertEquals(Set.of(1, 2), read.keySet());
      for (int layer : read.keySet()) {
        AlignmentProjector expected = state.projectors().get(layer);
        AlignmentProjector found = read.get(layer);
        assertEquals(Toy.HIDDEN, found.config().hiddenSize());
        assertEquals(16, found.config().projectorSize());
        assertEquals(Toy.FEATURES, found.config().teacherSize());
        assertEquals(false, found.config().trainable());
        expected
            .parameters()
            .forEach((name, tensor) -> assertTrue(tensor.equal(found.parameters().get(name))));
        found.close();
      }
    }
    try (Safetensors written = Safetensors.open(file)) {
      assertTrue(written.names().contains("layer_1.net.7.bias"), written.names().toString());
    }
  }

  private static List<List<Float>> values(Map<Integer, AlignmentProjector> projectors) {
    List<List<Float>> values = new ArrayList<>();
    projectors
        .values()
        .forEach(p -> p.parameters().values().forEach(tensor -> values.add(Values.floats(tensor))));
    return values;
  }

  @Test
  void aFileThatIsNoProjectorsIsRefused() throws IOException {
    Path file = folder.resolve("p.safetensors");
    Tensor matrix = torch.zeros(2, 3);
    Safetensors.write(file, Map.of("net.1.weight", matrix), Map.of());
    assertRefused(file, "net.1.weight: found a tensor of that name, expected layer_<layer>");
    Safetensors.write(file, Map.of("layer_99999999999.net.1.weight", matrix), Map.of());
    assertRefused(file, "layer_99999999999.net.1.weight: found a tensor of that name");
    Safetensors.write(file, Map.of("layer_4.net.1.weight", matrix), Map.of());
    assertRefused(file, "layer_4: found [net.1.weight], expected a matrix net.7.weight");
    Safetensors.write(
        file,
        Map.of("layer_4.net.1.weight", matrix, "layer_4.net.7.weight", torch.zeros(5, 2)),
        Map.of());
    assertRefused(file, "layer_4: projector parameter net.0.weight is missing");
  }

  private static void assertRefused(Path file, String message) {
    var e = assertThrows(FormatException.class, () -> ProjectorFile.read(file, DType.FLOAT32));
    assertTrue(e.getMessage().startsWith(file + ": " + message), e.getMessage());
  }
}
