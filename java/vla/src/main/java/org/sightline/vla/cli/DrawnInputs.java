package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.model.Weights;
import org.sightline.vla.tabletop.TabletopGenerator;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.TeacherFile;

/** What a job makes for itself where it is given none: seeded, and left in its output folder. */
final class DrawnInputs {
  /** Data that are being rendered. */
  static final String UNFINISHED_DATA = ".data.tmp";

  private DrawnInputs() {}

  /** On disk as a pretrained one would be, so that whatever loads such a model loads this one. */
  static void base(FinetuneSettings settings, HuggingFacePromptTokenizer tokenizer)
      throws IOException {
    Path folder = settings.drawnBase();
    if (!Files.exists(folder)) {
      Weights weights = Weights.random(settings.model(), settings.seed());
      HuggingFaceCheckpoint.write(
          folder, settings.model(), weights, settings.dtype(), Long.MAX_VALUE);
    }
    tokenizer.write(folder);
  }

  /** Its file. */
  static Path teacher(FinetuneSettings settings) throws IOException {
    Path file = settings.output().resolve(FinetuneJob.TEACHER);
    if (!Files.exists(file)) {
      TeacherFile.writeRandom(
          file, TeacherConfig.nano("random, seed " + settings.seed()), settings.seed());
    }
    return file;
  }

  /** Its folder. */
  static Path data(FinetuneSettings settings) throws IOException {
    Path folder = settings.output().resolve("data");
    if (!Files.exists(folder)) {
      // Under its name only when it is whole: a run may be killed here too.
      Path unfinished = settings.output().resolve(UNFINISHED_DATA);
      AtomicFolder.delete(unfinished);
      TabletopGenerator.generate(unfinished, TabletopGenerator.Options.defaults());
      Files.move(unfinished, folder, StandardCopyOption.ATOMIC_MOVE);
    }
    return folder;
  }
}
