package org.sightline.vla.finetune;

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
  static void base(JobConfig config, HuggingFacePromptTokenizer tokenizer) throws IOException {
    Path folder = config.drawnBase();
    if (!Files.exists(folder)) {
      Weights weights = Weights.random(config.model(), config.seed());
      HuggingFaceCheckpoint.write(folder, config.model(), weights, config.dtype(), Long.MAX_VALUE);
    }
    tokenizer.write(folder);
  }

  /** Its file. */
  static Path teacher(JobConfig config) throws IOException {
    Path file = config.output().resolve(FineTuneJob.TEACHER);
    if (!Files.exists(file)) {
      TeacherFile.writeRandom(
          file, TeacherConfig.nano("random, seed " + config.seed()), config.seed());
    }
    return file;
  }

  /** Its folder. */
  static Path data(JobConfig config) throws IOException {
    Path folder = config.output().resolve("data");
    if (!Files.exists(folder)) {
      // Under its name only when it is whole: a run may be killed here too.
      Path unfinished = config.output().resolve(UNFINISHED_DATA);
      AtomicFolder.delete(unfinished);
      TabletopGenerator.generate(unfinished, TabletopGenerator.Options.defaults());
      Files.move(unfinished, folder, StandardCopyOption.ATOMIC_MOVE);
    }
    return folder;
  }
}
