package org.sightline.vla.teacher;

import java.util.ArrayList;
import java.util.List;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.VisionEncoder;

/**
 * A teacher as it is published: its name, and the variants its weights come in.
 *
 * @param name for messages and reports
 * @param variants at least one
 */
record TeacherModel(String name, List<Variant> variants) {
  /** Mean and std of C-RADIO's input conditioner, per RGB channel of values in [0,1]. */
  static final List<ParameterSpec> CONDITIONER =
      List.of(
          new ParameterSpec("input_conditioner.norm_mean", List.of(3L, 1L, 1L)),
          new ParameterSpec("input_conditioner.norm_std", List.of(3L, 1L, 1L)));

  TeacherModel {
    variants = List.copyOf(variants);
    if (variants.isEmpty()) {
      throw new IllegalArgumentException(name + ": variants must not be empty");
    }
  }

  /**
   * The tensors of one library, and the transformer as that library runs it: timm has no position
   * for the class token of a DINOv2 with registers, and another GELU for SigLIP than Hugging Face.
   *
   * @param layout names and pieces of the tensors
   * @param config at the image size the weights were made for
   * @param conditioner whether mean and std of the input are tensors of the file, {@link
   *     #CONDITIONER}
   */
  record Variant(TensorLayout layout, TeacherConfig config, boolean conditioner) {
    Variant(TensorLayout layout, TeacherConfig config) {
      this(layout, config, false);
    }

    /** Every parameter that is read, under our names. */
    List<ParameterSpec> parameters() {
      var all = new ArrayList<>(VisionEncoder.parameters(config.vision(), config.finalNorm()));
      if (conditioner) {
        all.addAll(CONDITIONER);
      }
      return all;
    }

    /**
     * With as many registers as the files hold, if they hold some under this variant's name; null
     * for no files.
     */
    Variant withRegistersOf(SafetensorsWeights files) {
      var registers = new ParameterSpec("reg_token", List.of(1L, 1L, 1L));
      String name = layout.alternatives(registers).get(0).get(0).name();
      if (files == null
          || !files.files().names().contains(name)
          || files.files().info(name).shape().size() < 2) {
        return this;
      }
      List<Long> shape = files.files().info(name).shape();
      // No more than a count can be: then the tensor's shape is told to be another.
      int tokens = (int) Math.min(shape.get(shape.size() - 2), Integer.MAX_VALUE);
      return new Variant(
          layout, config.withVision(config.vision().withRegisterTokens(tokens)), conditioner);
    }
  }
}
