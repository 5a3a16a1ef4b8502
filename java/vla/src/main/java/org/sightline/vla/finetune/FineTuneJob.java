package org.sightline.vla.finetune;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.sightline.Sightline;
import org.sightline.formats.Printable;
import org.sightline.formats.file.FolderLock;
import org.sightline.formats.file.InputFile;
import org.sightline.train.Mode;
import org.sightline.train.TrainingDivergedException;
import org.sightline.train.TrainingListener;
import org.sightline.vla.checkpoint.BaseModel;
import org.sightline.vla.model.Attention;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.teacher.cache.CachedTeacher;

/**
 * Fine-tunes in each mode from the same start, on the same batches, and compares.
 *
 * <pre>{@code
 * try (FineTuneJob job = FineTuneJob.open(config)) {
 *   List<ModeResult> results = job.run().orElseThrow();
 * }
 * }</pre>
 *
 * <p>Writes to the output folder: {@code <mode>/} with adapter, logs and checkpoints; {@code
 * run.json} and {@code report.html}; and what had to be made: {@code base/}, {@code data/}, {@code
 * teacher.safetensors}. On the same folder, {@link Start#RESUME} goes on where it was broken off.
 *
 * <p>Not thread-safe.
 */
public final class FineTuneJob implements AutoCloseable {
  /** What the output folder may hold, and what becomes of it. */
  public enum Start {
    /** Nothing. */
    NEW,
    /** Anything; what an earlier run left is taken away. */
    OVERWRITE,
    /** A run of this configuration, which goes on from its newest good checkpoint. */
    RESUME,
    /** As above, though settings and what it learns from may have changed since. */
    RESUME_CHANGED;

    private boolean resumes() {
      return this == RESUME || this == RESUME_CHANGED;
    }
  }

  /** The random base model of a job that was given none. */
  public static final String BASE = "base";

  /** The random teacher of a job that was given none. */
  static final String TEACHER = "teacher.safetensors";

  private final JobConfig config;
  private final Start start;
  private final PrintWriter log;
  private final List<String> arguments;
  private final JobInputs inputs;
  private final FittedProjectors projectors;
  private FolderLock lock; // null until it is prepared
  private Map<String, String> contents; // null until it is prepared

  private FineTuneJob(
      JobConfig config, Start start, PrintWriter log, List<String> arguments, JobInputs inputs) {
    this.config = config;
    this.start = start;
    this.log = log;
    this.arguments = arguments;
    this.inputs = inputs;
    this.projectors = new FittedProjectors(config.output());
  }

  /** As below, in a new folder and in silence. */
  public static FineTuneJob open(JobConfig config) throws IOException {
    return open(config, Start.NEW, new PrintWriter(Writer.nullWriter()), List.of());
  }

  /**
   * Reads and checks what the configuration names: tokenizer, datasets, teacher, base model.
   * Nothing is written to the output folder, so that bad input leaves nothing there.
   *
   * @param log told of data, model and results in a few lines
   * @param arguments of the command line that asked for the job, for {@code run.json}
   * @throws IllegalArgumentException if something named cannot be used, or the machine has too
   *     little memory
   * @throws IOException if a file cannot be read
   */
  public static FineTuneJob open(
      JobConfig config, Start start, PrintWriter log, List<String> arguments) throws IOException {
    if (config.teacherPreset() != null && config.teacher() == null) {
      throw new IllegalArgumentException(
          "teacherPreset needs a teacher, the weights of %s".formatted(config.teacherPreset()));
    }
    if (config.base().isRandom() && !config.model().equals(BaseModel.RANDOM.config())) {
      throw new IllegalArgumentException(
          "weights must name the safetensors files of %s, found none: only nano has a random start"
              .formatted(config.model().preset()));
    }
    if (!start.resumes()) {
      OutputFolder.requireUsable(config.output(), start == Start.OVERWRITE);
    } else if (!InputFile.exists(config.output().resolve(RunFile.NAME))) {
      throw new IllegalArgumentException(
          "output: %s holds no %s, expected the folder of an earlier run"
              .formatted(config.output(), RunFile.NAME));
    }
    Sightline.load();
    config.device().ensureAvailable();
    MemoryCheck.require(config);
    return new FineTuneJob(config, start, log, arguments, JobInputs.open(config));
  }

  /**
   * Takes the output folder for this job alone, makes what the configuration does not name, and
   * writes {@code run.json}. {@link #run} does it where it has not been done.
   *
   * @return what a user of a resumed run should know
   * @throws IllegalArgumentException if the run in the folder cannot go on with this configuration
   */
  public List<String> prepare() throws IOException {
    Path output = config.output();
    Files.createDirectories(output);
    lock = OutputFolder.lock(output);
    if (!start.resumes()) {
      // Another run may have come first.
      OutputFolder.requireUsable(output, start == Start.OVERWRITE);
      OutputFolder.clear(output, config.base().isRandom(), config.teacher() == null);
      RunFile.write(config, arguments, Map.of());
    }
    inputs.draw();
    contents = inputs.contents();
    if (!start.resumes()) {
      RunFile.write(config, arguments, contents);
      return List.of();
    }
    RunResumption resumption = RunResumption.of(config, arguments, contents);
    resumption.requireSameContents(start == Start.RESUME_CHANGED);
    for (Mode mode : config.modes()) {
      run(mode).requireCanGoOn();
    }
    resumption.write();
    return resumption.warnings();
  }

  private ModeRun run(Mode mode) throws IOException {
    Map<String, String> all = new LinkedHashMap<>(contents);
    if (config.alignment().projectorInit().isFitted() && projectors.exist()) {
      all.put("fitted projectors", projectors.digest());
    }
    return new ModeRun(config, mode, log, lock, all, start == Start.RESUME_CHANGED);
  }

  /**
   * Fits the projectors, if they are to be and are not there yet.
   *
   * @return whether the modes can begin; not if it was interrupted
   */
  private boolean fitProjectors(TrainingListener... observers) throws IOException {
    ProjectorInit init = config.alignment().projectorInit();
    if (!init.isFitted()) {
      return true;
    }
    if (!projectors.exist()) {
      log.printf(Locale.ROOT, "fitting projectors, %d steps%n", init.fitSteps());
      log.flush();
      OpenVla model = inputs.model();
      inputs.giveBack(model);
      boolean done =
          projectors.fit(
              model,
              inputs.teacher(),
              inputs.data(),
              ModeRun.loop(config, Mode.ALIGN, inputs.teacher()),
              init.fitSteps(),
              lock,
              () ->
                  Thread.currentThread().isInterrupted()
                      || List.of(observers).stream()
                          .anyMatch(TrainingListener::interruptRequested));
      if (!done) {
        return false;
      }
    }
    log.println(Printable.of(projectors.result()));
    log.flush();
    return true;
  }

  /**
   * Runs what is not done yet, and writes the report.
   *
   * @param observers told of each mode's run; one may ask to interrupt it
   * @return a result for each mode, in the order of the configuration; empty if it was interrupted:
   *     {@link Start#RESUME} then goes on
   * @throws TrainingDivergedException if a mode has no result; it goes on from its last good
   *     checkpoint, with a lower rate
   */
  public Optional<List<ModeResult>> run(TrainingListener... observers)
      throws IOException, TrainingDivergedException {
    if (lock == null) {
      prepare();
    }
    describe();
    if (!fitProjectors(observers)) {
      return Optional.empty();
    }
    List<ModeResult> results = new ArrayList<>();
    for (Mode mode : config.modes()) {
      ModeRun run = run(mode);
      Optional<ModeResult> result = run.done();
      if (result.isEmpty()) {
        try (OpenVla model = inputs.model()) {
          result = run.run(model, inputs.teacher(), inputs.data(), List.of(observers));
        } catch (TrainingDivergedException e) {
          log.printf(
              Locale.ROOT,
              "Mode %s has no result. With a lower rate it goes on from step %d.%n",
              lowerCase(mode),
              run.stepsDone());
          log.flush();
          throw e;
        }
      }
      if (result.isEmpty()) {
        return Optional.empty();
      }
      results.add(result.get());
    }
    report(results);
    return Optional.of(results);
  }

  /**
   * Passes while the output folder is this job's.
   *
   * @throws IOException if another run has it by now
   */
  public void requireHeld() throws IOException {
    lock.requireHeld();
  }

  @Override
  public void close() throws IOException {
    inputs.close();
    if (lock != null) {
      lock.close();
    }
  }

  /** The table first: it needs nothing that could be missing. */
  private void report(List<ModeResult> results) throws IOException {
    log.printf(Locale.ROOT, "%nHeld-out episodes, before -> after:%n%s", ResultTable.of(results));
    String note = note();
    log.println(note);
    DataReport.leftOut(log, inputs.data());
    if (inputs.teacher() instanceof CachedTeacher cache) {
      DataReport.cache(log, cache);
    }
    log.flush();
    lock.requireHeld();
    RunReport.write(config.output(), results, note);
  }

  /** What the numbers are to be held against, and where they come from if that is not plain. */
  private String note() throws IOException {
    List<String> sentences = new ArrayList<>();
    sentences.add(
        String.format(
            Locale.ROOT,
            "Always saying the training data's most frequent tokens has token accuracy %.3f.",
            inputs.data().constantAccuracy()));
    if (config.randomness() != null) {
      sentences.add(config.randomness());
    }
    if (config.alignment().projectorInit().isFitted()) {
      sentences.add(Printable.of(projectors.result()) + ".");
    }
    return String.join(" ", sentences);
  }

  private void describe() {
    log.printf(
        Locale.ROOT,
        "model    %s, %s, LoRA rank %d, on %s, %s attention%n",
        Printable.of(config.model().preset()),
        lowerCase(config.dtype()),
        config.lora().rank(),
        config.device(),
        Attention.kernel(config.device(), config.dtype(), config.model().text().headWidth()));
    DataReport.describe(log, inputs.data());
    log.printf(
        Locale.ROOT,
        "teacher  %s; aligned layers %s, lambda %s%n",
        Printable.of(inputs.teacherName()),
        config.alignment().layers(),
        config.alignment().lambda());
    log.flush();
  }

  private static String lowerCase(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }
}
