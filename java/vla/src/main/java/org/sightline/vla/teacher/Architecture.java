package org.sightline.vla.teacher;

import java.util.List;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.checkpoint.SafetensorsWeights;

/** A family of published teachers: its presets, and its {@code config.json}. */
interface Architecture {
  /** Name of the family, with what a {@code config.json} of it is told by. */
  String family();

  /** Names of the published models, for weights without a {@code config.json}. */
  List<String> presets();

  /**
   * A published model.
   *
   * @param name one of {@link #presets()}
   * @param files its weights; of these only shapes may be looked at
   */
  TeacherModel preset(String name, SafetensorsWeights files);

  /** Whether a {@code config.json} is one of this family's. */
  boolean describes(JsonFields config) throws FormatException;

  /**
   * The model of a {@code config.json} that {@link #describes} accepts.
   *
   * @throws FormatException naming the key that has a value not supported
   */
  TeacherModel of(JsonFields config, SafetensorsWeights files) throws FormatException;
}
