package org.sightline.vla.teacher;

import static org.bytedeco.pytorch.global.torch.cat;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.sightline.binding.Scopes;
import org.sightline.formats.FormatException;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.checkpoint.TensorAccount;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.Weights;

/**
 * The tensors of a published teacher under the names of {@link
 * org.sightline.vla.model.VisionEncoder}, every one of the file accounted for.
 */
record TeacherWeights(
    SafetensorsWeights files, TeacherModel.Variant variant, Map<String, List<ParameterSpec>> stored)
    implements Weights {
  /**
   * Finds the variant of which the files hold most and checks all their tensors against it.
   *
   * @throws FormatException naming every tensor that is missing, unexpected, of another shape or
   *     not floating-point
   */
  static TeacherWeights of(SafetensorsWeights files, TeacherModel model) throws FormatException {
    for (TeacherModel.Variant variant : model.variants()) {
      TensorAccount.requireDepth(
          "depth of " + model.name(), variant.config().vision().depth(), files.files());
    }
    TeacherWeights best =
        model.variants().stream()
            .map(variant -> new TeacherWeights(files, variant, stored(files, variant)))
            .max(Comparator.comparingLong(TeacherWeights::found))
            .orElseThrow();
    TensorLayout layout = best.variant.layout();
    TensorAccount.require(
        model.name(), layout.name(), best.expected(), layout::isUnused, files.files());
    return best;
  }

  /**
   * For each parameter the tensors it is put together from: the first alternative that is there.
   */
  private static Map<String, List<ParameterSpec>> stored(
      SafetensorsWeights files, TeacherModel.Variant variant) {
    var stored = new HashMap<String, List<ParameterSpec>>();
    for (ParameterSpec parameter : variant.parameters()) {
      List<List<ParameterSpec>> alternatives = variant.layout().alternatives(parameter);
      stored.put(
          parameter.name(),
          alternatives.stream()
              .filter(parts -> files.files().names().contains(parts.get(0).name()))
              .findFirst()
              .orElse(alternatives.get(0)));
    }
    return stored;
  }

  private long found() {
    return expected().stream().filter(part -> files.files().names().contains(part.name())).count();
  }

  /** In the order of the state dict. */
  private List<ParameterSpec> expected() {
    return variant.parameters().stream()
        .flatMap(parameter -> stored.get(parameter.name()).stream())
        .toList();
  }

  /** The configuration of the variant found, with the conditioner's values if it has one. */
  TeacherConfig config() {
    if (!variant.conditioner()) {
      return variant.config();
    }
    return variant
        .config()
        .with()
        .mean(values(TeacherModel.CONDITIONER.get(0)))
        .std(values(TeacherModel.CONDITIONER.get(1)))
        .build();
  }

  private List<Double> values(ParameterSpec parameter) {
    var values = new ArrayList<Double>();
    Scopes.run(
        () -> {
          Tensor tensor = get(parameter).flatten();
          for (int i = 0; i < parameter.elements(); i++) {
            values.add(tensor.select(0, i).item_double());
          }
        });
    return values;
  }

  @Override
  public boolean handsOver() {
    return files.handsOver();
  }

  @Override
  public String describe(ParameterSpec parameter) {
    return stored.get(parameter.name()).stream()
        .map(files::describe)
        .collect(Collectors.joining(" and "));
  }

  @Override
  public Tensor get(ParameterSpec parameter) {
    List<ParameterSpec> parts = stored.get(parameter.name());
    if (parts.size() == 1) {
      return files.get(parts.get(0)).view(parameter.sizes());
    }
    Tensor[] pieces = parts.stream().map(files::get).toArray(Tensor[]::new);
    return cat(new TensorVector(pieces), 0).view(parameter.sizes());
  }
}
