package org.sightline.vla.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.AdamW;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.Sightline;
import org.sightline.vla.model.LoraPlan;
import org.sightline.vla.model.Modules;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;
import org.sightline.vla.teacher.VisionTeacher;

/** Numbers of OpenVLA-7B that are published or were derived elsewhere. */
class StepMemoryTest {
  /** Made by the policy's forward pass and dropped by its backward pass. */
  static final Set<MemoryGroup> SAVED =
      EnumSet.range(MemoryGroup.VISION, MemoryGroup.HIDDEN_STATES);

  private static final long ADAPTERS = 110_828_288;
  private static final long ACTIVE_ADAPTERS = 109_126_400;
  private static final StepMemory STEP = step(AdamW.Precision.MASTER, false, false);

  /** The paper's step: OpenVLA-7B, batch 8, bf16, rank 32, layer 16, a sequence of 286. */
  private static StepMemory step(
      AdamW.Precision precision, boolean cached, boolean gradientCheckpointing) {
    OpenVlaConfig model = OpenVlaConfig.openVla7b();
    return StepMemory.of(
        new StepConfig(
            model,
            8,
            30,
            StepConfig.LABELLED_TOKENS,
            32,
            DType.BFLOAT16,
            precision,
            List.of(model.alignedLayer()),
            2048,
            VisionTeacher.config("c-radio_v3-l", 16),
            cached,
            gradientCheckpointing));
  }

  @Test
  void allAdaptersAreHeldAndTheActiveOnesTrained() {
    assertEquals(878, count(STEP, MemoryGroup.ADAPTERS));
    assertEquals(ADAPTERS, elements(STEP, MemoryGroup.ADAPTERS));
    assertEquals(852, count(STEP, MemoryGroup.GRADIENTS));
    assertEquals(ACTIVE_ADAPTERS, elements(STEP, MemoryGroup.GRADIENTS));
  }

  @Test
  void optimizerBytesPerParameter() {
    assertEquals(12 * ACTIVE_ADAPTERS, STEP.bytes(MemoryGroup.OPTIMIZER));
    StepMemory split = step(AdamW.Precision.REMAINDER, false, false);
    assertEquals(10 * ACTIVE_ADAPTERS, split.bytes(MemoryGroup.OPTIMIZER));
  }

  /**
   * C-RADIOv3-L in bf16: 0.64 GB. Published: 319,934,464, timm's four unused registers included.
   */
  @Test
  void theTeacherIsThePublishedOne() {
    long elements = 319_934_464 - 4 * 1024;
    // One table of positions in fp32 is twice its size, and one at 16×16 comes with it.
    long table = 128L * 128 * 1024;
    assertEquals(2 * (elements + table + 256 * 1024), STEP.bytes(MemoryGroup.TEACHER));
  }

  /** Of 33 × [8,286,4096] bf16 the aligned layer's alone. */
  @Test
  void oneHiddenStateIsKept() {
    long one = 8L * 286 * 4096 * 2;
    assertEquals(one, STEP.bytes(MemoryGroup.HIDDEN_STATES));
    StepMemory again = step(AdamW.Precision.MASTER, false, true);
    assertEquals(0, again.bytes(MemoryGroup.HIDDEN_STATES));
  }

  /** Of 8·286 positions the 8·8 that predict an action's tokens. */
  @Test
  void logitsAreThereOnlyWhereTokensAreLabelled() {
    assertEquals(8L * 8 * 32064 * 4, bytes(STEP, MemoryGroup.LOGITS, "cross entropy"));
    assertEquals(8L * 8 * 32064 * 6, STEP.moments().get("loss"));
  }

  /** MLP: 4 of [2288,11008]; two fp32 and six bf16 of [2288,4096]. */
  @Test
  void aDecoderBlockSavesWhatItsDerivativesRead() {
    long rows = 8 * 286;
    long expected =
        rows * (4 * 11008 * 2 + 2 * 4096 * 4 + 6 * 4096 * 2 + 7 * 32 * 4 + 2 * 4 + 32 * 4);
    long found =
        STEP.bytes(entry -> entry.name().startsWith("language_model.model.layers.7."))
            - STEP.bytes(
                entry ->
                    !SAVED.contains(entry.group())
                        && entry.name().startsWith("language_model.model.layers.7."));
    assertEquals(expected, found);
    StepMemory again = step(AdamW.Precision.MASTER, false, true);
    assertEquals(32 * rows * 4096 * 2 + rows * (4096 + 1) * 4, again.bytes(MemoryGroup.DECODER));
    long recomputed = expected + rows * (3L * 11008 + 2 * 4096) * 2;
    assertEquals(recomputed, again.moments().get("backward of a block"));
  }

  @Test
  void aCachedTeacherNeverRuns() {
    assertTrue(STEP.moments().containsKey("teacher"));
    StepMemory cached = step(AdamW.Precision.MASTER, true, false);
    assertEquals(Set.of("loss", "backward of a block"), cached.moments().keySet());
  }

  @Test
  void thePeakIsEverythingAndTheLargestMoment() {
    long moment = STEP.moments().values().stream().mapToLong(v -> v).max().orElseThrow();
    long all = 0;
    for (MemoryGroup group : MemoryGroup.values()) {
      all += group == MemoryGroup.MOMENT ? moment : STEP.bytes(group);
    }
    assertEquals(all, STEP.peakBytes());
  }

  /** The plan's weights and adapters are those the model asks for and makes, without memory. */
  @ParameterizedTest
  @CsvSource({"nano, FLOAT32", "mid, FLOAT32", "openvla-7b, BFLOAT16"})
  void weightsAreThoseTheModelReads(String preset, DType dtype) {
    OpenVlaConfig config = OpenVlaConfig.ofPreset(preset);
    StepMemory memory =
        StepMemory.of(SavedTensorsTest.settings(config, 1, dtype, List.of(), false));
    Sightline.load();
    Map<String, Long> read = new TreeMap<>();
    try (PointerScope scope = new PointerScope()) {
      Tensor meta = Device.META.move(torch.zeros(1)).to(Modules.scalarType(dtype));
      Weights recorded =
          spec -> {
            Tensor tensor = meta.new_empty(spec.sizes());
            read.put(spec.name(), tensor.nbytes());
            return tensor;
          };
      LoraPlan lora = LoraPlan.all(LoraConfig.of(16, 16));
      try (OpenVla model = OpenVla.of(config, recorded, Device.META, dtype, lora, 1)) {
        Map<String, Long> planned = new TreeMap<>(bytes(memory, MemoryGroup.WEIGHTS));
        planned.keySet().retainAll(read.keySet());
        assertEquals(read, planned, "frozen parameters");
        Map<String, Long> trained = new TreeMap<>();
        model.trainableParameters().forEach((name, t) -> trained.put(name, t.nbytes()));
        assertEquals(trained, bytes(memory, MemoryGroup.GRADIENTS), "trained parameters");
      }
    }
  }

  private static Map<String, Long> bytes(StepMemory memory, MemoryGroup group) {
    return memory.entries().stream()
        .filter(entry -> entry.group() == group)
        .collect(Collectors.toMap(MemoryEntry::name, MemoryEntry::bytes));
  }

  @Test
  void settingsThatMakeNoSenseAreRefused() {
    OpenVlaConfig nano = OpenVlaConfig.nano();
    assertRefused(
        "textTokens must exceed labelledTokens 8, found 8", () -> settings(nano, 8, List.of()));
    assertRefused(
        "textTokens must be at most 476, the 512 positions of nano without 36 image tokens,"
            + " found 477",
        () -> settings(nano, 477, List.of()));
    assertRefused("alignedLayers must be in 0..4, found 5", () -> settings(nano, 20, List.of(5)));
    assertRefused(
        "teacher must be given for alignedLayers [2], found null",
        () -> settings(nano, 20, List.of(2)));
  }

  private static void assertRefused(String message, Runnable action) {
    var e = assertThrows(IllegalArgumentException.class, action::run);
    assertEquals(message, e.getMessage());
  }

  private static StepConfig settings(OpenVlaConfig model, int textTokens, List<Integer> layers) {
    return new StepConfig(
        model,
        1,
        textTokens,
        8,
        4,
        DType.FLOAT32,
        AdamW.Precision.MASTER,
        layers,
        64,
        null,
        false,
        false);
  }

  private static long count(StepMemory memory, MemoryGroup group) {
    return memory.entries().stream().filter(entry -> entry.group() == group).count();
  }

  private static long elements(StepMemory memory, MemoryGroup group) {
    return memory.entries().stream()
        .filter(entry -> entry.group() == group)
        .mapToLong(MemoryEntry::elements)
        .sum();
  }

  private static long bytes(StepMemory memory, MemoryGroup group, String name) {
    return memory.bytes(entry -> entry.group() == group && entry.name().equals(name));
  }
}
