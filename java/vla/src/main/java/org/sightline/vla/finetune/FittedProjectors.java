package org.sightline.vla.finetune;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.FolderLock;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.safetensors.TensorDigest;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.ProjectorFile;
import org.sightline.train.ProjectorFit;
import org.sightline.train.Teacher;
import org.sightline.vla.data.loader.BatchIterator;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.model.OpenVla;

/**
 * The projectors that a job fits before its first mode, for all its modes: a file in its folder,
 * with what came out in the file's metadata, and the course of the fit in a CSV beside it. They are
 * there when they are whole; a fit that is broken off begins anew and ends with the same bytes.
 */
final class FittedProjectors {
  static final String NAME = "fitted_projector.safetensors";
  static final String CURVE = "projector_fit.csv";
  private static final String RESULT = "result";

  private final Path file;

  FittedProjectors(Path output) {
    this.file = output.resolve(NAME);
  }

  Path file() {
    return file;
  }

  boolean exist() throws IOException {
    return InputFile.exists(file);
  }

  /** Digest of the weights. */
  String digest() throws IOException {
    try (Safetensors saved = Safetensors.open(file)) {
      return TensorDigest.of(List.of(saved));
    }
  }

  /** What came out, in a sentence. */
  String result() throws IOException {
    try (Safetensors saved = Safetensors.open(file)) {
      return saved.metadata().getOrDefault(RESULT, "Projectors fitted");
    }
  }

  /**
   * Fits them.
   *
   * @param lock of the folder, which must be held still when the file is written
   * @param interrupted asked before each step
   * @return whether they are there now; not if the fit was interrupted
   */
  boolean fit(
      OpenVla model,
      Teacher<VlaBatch> teacher,
      VlaData data,
      FineTuneConfig config,
      int steps,
      FolderLock lock,
      BooleanSupplier interrupted)
      throws IOException {
    try (ProjectorFit<VlaBatch> fit = new ProjectorFit<>(model, teacher, config, steps);
        BatchIterator batches = data.train().repeat()) {
      Map<Integer, Double> before = heldOut(fit, data);
      do {
        if (interrupted.getAsBoolean()) {
          return false;
        }
      } while (fit.step(batches));
      String result =
          "Projectors fitted in %d steps: held-out cosine %s -> %s"
              .formatted(steps, text(before), text(heldOut(fit, data)));
      lock.requireHeld();
      AtomicFile.writeText(file.resolveSibling(CURVE), csv(fit.curve()));
      ProjectorFile.write(file, fit.projectors(), Map.of(RESULT, result));
      return true;
    }
  }

  private static Map<Integer, Double> heldOut(ProjectorFit<VlaBatch> fit, VlaData data) {
    try (BatchIterator held = data.eval().epoch(0)) {
      return fit.cosine(held);
    }
  }

  private static String text(Map<Integer, Double> byLayer) {
    return byLayer.values().stream()
        .map(cosine -> String.format(Locale.ROOT, "%+.3f", cosine))
        .collect(Collectors.joining(", "));
  }

  private static String csv(List<Map<Integer, Double>> curve) {
    StringBuilder text = new StringBuilder("step");
    curve.get(0).keySet().forEach(layer -> text.append(",cosine_").append(layer));
    for (int step = 0; step < curve.size(); step++) {
      text.append('\n').append(step + 1);
      curve.get(step).values().forEach(cosine -> text.append(',').append(cosine));
    }
    return text.append('\n').toString();
  }
}
