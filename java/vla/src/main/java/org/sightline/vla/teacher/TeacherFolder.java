package org.sightline.vla.teacher;

import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.sightline.formats.file.InputFile;
import org.sightline.vla.checkpoint.SafetensorsWeights;

/** A teacher on disk: one safetensors file, or a folder as Hugging Face publishes models. */
final class TeacherFolder {
  static final String CONFIG = "config.json";

  /** The image and text halves of a SigLIP together, as open_clip names the file. */
  private static final String OPEN_CLIP = "open_clip_model.safetensors";

  private TeacherFolder() {}

  /**
   * Opens the tensors.
   *
   * @throws NoSuchFileException if the path does not exist
   * @throws IOException if a folder holds none, or a file cannot be read or is malformed
   */
  static SafetensorsWeights open(Path path) throws IOException {
    if (!InputFile.exists(path)) {
      throw new NoSuchFileException(path.toString());
    }
    Path openClip = path.resolve(OPEN_CLIP);
    boolean only =
        InputFile.exists(openClip) && !InputFile.exists(path.resolve("model.safetensors"));
    return SafetensorsWeights.open(only ? openClip : path);
  }
}
