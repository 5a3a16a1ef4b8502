package org.sightline.vla.teacher;

import java.util.List;
import java.util.stream.Collectors;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.checkpoint.SafetensorsWeights;

/** All published teachers there are. */
final class Architectures {
  private static final List<Architecture> ALL =
      List.of(new CRadioV3(), new DinoV2(), new SigLip(), new Theia());

  private Architectures() {}

  /** Names of all presets. */
  static List<String> presets() {
    return ALL.stream().flatMap(architecture -> architecture.presets().stream()).toList();
  }

  /**
   * The model of this name.
   *
   * @throws IllegalArgumentException listing the names there are
   */
  static TeacherModel preset(String name, SafetensorsWeights files) {
    for (Architecture architecture : ALL) {
      if (architecture.presets().contains(name)) {
        return architecture.preset(name, files);
      }
    }
    throw new IllegalArgumentException(
        "teacher preset must be one of %s, found \"%s\"".formatted(presets(), name));
  }

  /**
   * The model of a {@code config.json}.
   *
   * @throws FormatException listing the architectures there are, or naming the key that has a value
   *     not supported
   */
  static TeacherModel of(JsonFields config, SafetensorsWeights files) throws FormatException {
    for (Architecture architecture : ALL) {
      if (architecture.describes(config)) {
        return of(architecture, config, files);
      }
    }
    throw new FormatException(
        config.file(),
        "architecture",
        "model_type %s, architecture %s, keys %s"
            .formatted(
                config.text("model_type", "none"),
                config.text("architecture", "none"),
                config.json().keySet()),
        "a teacher's: " + ALL.stream().map(Architecture::family).collect(Collectors.joining("; ")));
  }

  private static TeacherModel of(
      Architecture architecture, JsonFields config, SafetensorsWeights files)
      throws FormatException {
    try {
      return architecture.of(config, files);
    } catch (IllegalArgumentException e) {
      throw new FormatException(config.file(), "shape", e.getMessage());
    }
  }
}
