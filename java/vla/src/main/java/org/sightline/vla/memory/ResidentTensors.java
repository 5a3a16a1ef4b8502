package org.sightline.vla.memory;

import static org.sightline.vla.memory.ElementType.BF16;
import static org.sightline.vla.memory.ElementType.FP32;
import static org.sightline.vla.memory.ElementType.INT16;
import static org.sightline.vla.memory.ElementType.INT64;

import java.util.List;
import org.sightline.AdamW;
import org.sightline.vla.model.LlamaConfig;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.PositionResampling;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.model.VisionEncoder;

/**
 * What is there from the first step to the last; then, by {@link SavedTensors}, what a step keeps.
 */
final class ResidentTensors {
  private final StepConfig settings;
  private final OpenVlaConfig model;
  private final ElementType type;
  private final Tally tally = new Tally();

  ResidentTensors(StepConfig settings) {
    this.settings = settings;
    model = settings.model();
    type = ElementType.of(settings.dtype());
  }

  List<MemoryEntry> entries() {
    weights();
    adapters();
    if (settings.aligned()) {
      teacher();
      projectors();
    }
    batch();
    new SavedTensors(settings, tally).add();
    return tally.entries();
  }

  private void weights() {
    for (ParameterSpec parameter : ModelSpec.of(model).parameters()) {
      if (!Tally.isUnused(model, parameter.name())) {
        tally.add(
            MemoryGroup.WEIGHTS, parameter, type, "state dict; what is never run is not read");
      }
    }
    for (String vision : List.of(Tally.DINO, Tally.SIGLIP)) {
      VisionConfig config = vision.equals(Tally.DINO) ? model.dino() : model.sigLip();
      String name = vision + ".pos_embed at the image's grid";
      String reason = "positions, by channel and by patch";
      tally.add(MemoryGroup.WEIGHTS, name, type, reason, 1, config.patches(), config.width());
    }
    LlamaConfig text = model.text();
    for (String table : List.of("cos", "sin")) {
      String name = "language_model rotary " + table;
      String reason = "one table for all blocks";
      tally.add(MemoryGroup.WEIGHTS, name, type, reason, text.maxPositions(), text.headWidth() / 2);
    }
  }

  private void adapters() {
    List<ParameterSpec> active = Tally.adapters(settings, true);
    for (ParameterSpec parameter : active) {
      tally.add(MemoryGroup.ADAPTERS, parameter, type, "trained");
      tally.add(MemoryGroup.GRADIENTS, parameter, type, "in the adapter's dtype");
      tally.add(MemoryGroup.OPTIMIZER, named("exp_avg", parameter), FP32, "first moment");
      tally.add(MemoryGroup.OPTIMIZER, named("exp_avg_sq", parameter), FP32, "second moment");
      if (type == BF16) {
        boolean master = settings.precision() == AdamW.Precision.MASTER;
        tally.add(
            MemoryGroup.OPTIMIZER,
            named(master ? "master" : "remainder", parameter),
            master ? FP32 : INT16,
            master ? "fp32 copy of a bf16 parameter" : "the 16 bits an fp32 copy has more");
      }
    }
    for (ParameterSpec parameter : Tally.adapters(settings, false)) {
      tally.add(MemoryGroup.ADAPTERS, parameter, type, "on a module never run; kept for the file");
    }
  }

  private static ParameterSpec named(String buffer, ParameterSpec parameter) {
    return new ParameterSpec(buffer + " " + parameter.name(), parameter.shape());
  }

  /** With a cache it is still open, for pictures that are not in it. */
  private void teacher() {
    VisionConfig vision = settings.teacher().vision();
    boolean resampled = vision.resampling() != PositionResampling.NONE;
    for (ParameterSpec parameter :
        VisionEncoder.parameters(vision, settings.teacher().finalNorm())) {
      boolean positions = parameter.name().equals("pos_embed");
      tally.add(
          MemoryGroup.TEACHER,
          parameter,
          positions && resampled ? FP32 : type,
          positions && resampled ? "fp32, as it is resampled" : "frozen");
    }
    String name = "pos_embed at the image's grid";
    tally.add(
        MemoryGroup.TEACHER, name, type, "resampled once", 1, vision.patches(), vision.width());
    if (!settings.teacherCached()) {
      long rows = settings.batchSize() * (long) (vision.patches() + vision.prefixTokens());
      long width = 9L * vision.width() + 2L * vision.mlpWidth();
      String reason = "one block's tensors: 9 of its width (qkv are 3), 2 of its MLP's";
      tally.moment("teacher", "block", type, reason, rows, width);
    }
  }

  private void projectors() {
    for (int layer : settings.alignedLayers()) {
      for (ParameterSpec parameter : Tally.projector(settings)) {
        var named = new ParameterSpec("layer " + layer + " " + parameter.name(), parameter.shape());
        tally.add(MemoryGroup.PROJECTOR, named, FP32, "frozen");
        if (parameter.shape().size() == 2) {
          for (String direction : List.of("forward", "backward")) {
            var packed = new ParameterSpec(named.name() + " " + direction, parameter.shape());
            tally.add(MemoryGroup.PROJECTOR, packed, type, "packed once for the kernel's product");
          }
        }
      }
    }
  }

  private void batch() {
    long rows = settings.batchSize();
    long side = model.dino().imageSize();
    tally.add(MemoryGroup.BATCH, "pixels", FP32, "two normalisations", rows, 6, side, side);
    for (String name : List.of("ids", "mask", "labels")) {
      tally.add(MemoryGroup.BATCH, name, INT64, "text tokens", rows, settings.textTokens());
    }
  }
}
