package org.sightline.vla.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.AdamW;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.Sightline;
import org.sightline.TensorBytes;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.TinyModels;
import org.sightline.vla.model.Weights;
import org.sightline.vla.teacher.TeacherConfig;

/** The arithmetic beside what libtorch's allocator counts: to the byte. */
class SavedTensorsTest {
  private static final int RANK = 16;
  private static final int TEXT = 20;

  /** Loss, cross entropy's total weight, token accuracy and L1, fp32 each. */
  private static final long SCALARS = 4 * 4;

  @ParameterizedTest
  @CsvSource({
    "24, FLOAT32, false, ''",
    "24, FLOAT32, false, 2",
    "24, FLOAT32, true, 2",
    "24, BFLOAT16, false, ''",
    "24, BFLOAT16, false, '0 2 4'",
    "24, BFLOAT16, true, 2",
    "8, FLOAT32, true, 4",
  })
  void aForwardPassLeavesWhatTheArithmeticSays(
      int batchSize, DType dtype, boolean checkpointing, String layers) {
    Sightline.load(); // before libtorch, whose threads else spin
    OpenVlaConfig nano = OpenVlaConfig.nano();
    List<Integer> aligned =
        layers.isEmpty()
            ? List.of()
            : Arrays.stream(layers.split(" ")).map(Integer::valueOf).toList();
    StepConfig settings = settings(nano, batchSize, dtype, aligned, checkpointing);
    long expected =
        StepMemory.of(settings).bytes(entry -> StepMemoryTest.SAVED.contains(entry.group()))
            + SCALARS
            + (checkpointing ? nano.text().layers() * generatorBytes() : 0)
            - (dtype == DType.BFLOAT16 ? halvedStatistics(nano, batchSize) : 0);
    assertEquals(expected, measured(settings, new TreeSet<>(aligned)));
  }

  /** The CPU generator's state, which a checkpointed block keeps to draw the same again. */
  private static long generatorBytes() {
    try (PointerScope scope = new PointerScope()) {
      return torch.getDefaultCPUGenerator().get_state().nbytes();
    }
  }

  /** LayerNorm's mean and 1/σ, in bf16 on the CPU where a GPU, which is planned for, has fp32. */
  private static long halvedStatistics(OpenVlaConfig model, long batch) {
    return Stream.of(model.dino(), model.sigLip())
        .mapToLong(
            vision ->
                (vision.depth() - 1)
                    * 2
                    * batch
                    * (vision.patches() + vision.prefixTokens())
                    * 2
                    * 2)
        .sum();
  }

  private static long measured(StepConfig settings, Set<Integer> layers) {
    OpenVlaConfig model = settings.model();
    int[] lengths = new int[settings.batchSize()];
    Arrays.fill(lengths, settings.textTokens());
    try (VlaBatch batch = TinyModels.batch(model, 1, settings.textTokens(), lengths);
        OpenVla policy =
            new OpenVla(
                model, Weights.random(model, 1), settings.dtype(), LoraConfig.of(RANK, RANK), 1);
        PointerScope scope = new PointerScope();
        TensorBytes tensors = new TensorBytes()) {
      policy.setGradientCheckpointing(settings.gradientCheckpointing());
      policy.forward(batch, layers);
      return tensors.live();
    }
  }

  /** Four labelled tokens in a row, as {@link TinyModels#batch} has them. */
  static StepConfig settings(
      OpenVlaConfig model,
      int batchSize,
      DType dtype,
      List<Integer> layers,
      boolean checkpointing) {
    return new StepConfig(
        model,
        batchSize,
        TEXT,
        4,
        RANK,
        dtype,
        AdamW.Precision.MASTER,
        layers,
        64,
        layers.isEmpty() ? null : TeacherConfig.nano("random"),
        false,
        checkpointing);
  }
}
