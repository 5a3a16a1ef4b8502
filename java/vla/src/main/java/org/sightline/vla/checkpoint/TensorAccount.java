package org.sightline.vla.checkpoint;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.ElementType;
import org.sightline.formats.safetensors.ShardedSafetensors;
import org.sightline.formats.safetensors.TensorInfo;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.ParameterSpec;

/** Compares the tensors of a checkpoint with those of a model: every one is accounted for. */
public final class TensorAccount {
  private static final Set<ElementType> FLOATING =
      EnumSet.of(ElementType.BF16, ElementType.F16, ElementType.F32);

  /** A buffer that old Llama checkpoints carry and that is computed anew. */
  private static final Pattern COMPUTED = Pattern.compile(".*\\.rotary_emb\\.inv_freq");

  /** More than any published model has: their names are listed at once. */
  private static final int FEW_BLOCKS = 200;

  private TensorAccount() {}

  /** {@link #require(String, String, List, Predicate, ShardedSafetensors)} for an OpenVLA. */
  static void require(OpenVlaConfig model, ShardedSafetensors files) throws FormatException {
    requireDepth("text_config.num_hidden_layers", model.text().layers(), files);
    requireDepth("depth of the first vision tower", model.dino().depth(), files);
    requireDepth("depth of the second vision tower", model.sigLip().depth(), files);
    require(
        model.preset(),
        "Hugging Face's OpenVLA",
        ModelSpec.of(model).parameters(),
        name -> COMPUTED.matcher(name).matches(),
        files);
  }

  /**
   * Passes if there are tensors for this many blocks, which else may take minutes to list.
   *
   * @param field where the number stands, for the error
   * @throws FormatException if there are fewer
   */
  public static void requireDepth(String field, int blocks, ShardedSafetensors files)
      throws FormatException {
    if (blocks > Math.max(FEW_BLOCKS, files.names().size())) {
      throw new FormatException(
          files.path(),
          field,
          blocks + " blocks",
          "at most " + files.names().size() + ", the number of tensors in the files");
    }
  }

  /**
   * Passes if the files hold the model's tensors, each with its shape and a floating type, and no
   * other.
   *
   * @param model its name, for the error
   * @param layout whose names the tensors have, for the error
   * @param unused whether a tensor that is not the model's may be there
   * @throws FormatException naming every tensor that is missing, unexpected, of another shape or of
   *     another type
   */
  public static void require(
      String model,
      String layout,
      List<ParameterSpec> tensors,
      Predicate<String> unused,
      ShardedSafetensors files)
      throws FormatException {
    Map<String, List<String>> defects = new LinkedHashMap<>();
    Set<String> expected = new HashSet<>();
    for (ParameterSpec spec : tensors) {
      expected.add(spec.name());
      if (!files.names().contains(spec.name())) {
        add(defects, "missing", spec.name() + " " + spec.shape());
        continue;
      }
      TensorInfo info = files.info(spec.name());
      if (!info.shape().equals(spec.shape())) {
        add(
            defects,
            "wrong shape",
            spec.name() + ": found " + info.shape() + ", expected " + spec.shape());
      }
      if (!FLOATING.contains(info.type())) {
        add(
            defects,
            "wrong dtype",
            spec.name() + ": found " + info.type() + ", expected one of " + FLOATING);
      }
    }
    int known = 0;
    for (String name : files.names()) {
      if (expected.contains(name) || unused.test(name)) {
        known++;
      } else {
        TensorInfo info = files.info(name);
        String where = files.shard(name).file().getFileName().toString();
        add(defects, "unexpected", name + " " + info.shape() + " in " + where);
      }
    }
    if (known == 0) {
      throw new FormatException(
          files.path(),
          "tensors",
          "none of the " + expected.size() + " tensors of " + model,
          "them under the names of %s; there is %s"
              .formatted(layout, files.names().stream().limit(3).toList()));
    }
    if (!defects.isEmpty()) {
      List<String> lines = new ArrayList<>();
      defects.forEach(
          (kind, names) -> {
            lines.add(kind + " (" + names.size() + "):");
            names.forEach(name -> lines.add("  " + name));
          });
      throw new FormatException(
          files.path(), "tensors: do not fit " + model + " as " + layout + " names them", lines);
    }
  }

  private static void add(Map<String, List<String>> defects, String kind, String defect) {
    defects.computeIfAbsent(kind, k -> new ArrayList<>()).add(defect);
  }
}
