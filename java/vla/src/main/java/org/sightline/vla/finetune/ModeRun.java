package org.sightline.vla.finetune;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.sightline.Checks;
import org.sightline.ProjectorConfig;
import org.sightline.formats.file.FolderLock;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.FineTuneResult;
import org.sightline.train.FineTuner;
import org.sightline.train.Mode;
import org.sightline.train.ProjectorFile;
import org.sightline.train.StepEvent;
import org.sightline.train.Teacher;
import org.sightline.train.TrainingDivergedException;
import org.sightline.train.TrainingListener;
import org.sightline.train.TrainingState;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.listener.CsvLog;
import org.sightline.train.listener.EarlyStopping;
import org.sightline.train.listener.TensorBoardLog;
import org.sightline.train.listener.TimingLog;
import org.sightline.vla.data.loader.BatchIterator;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.model.OpenVla;

/**
 * One mode of a job, in a folder of its own:
 *
 * <pre>
 * log.csv, timing.csv                  what it did, how long it took
 * events.out.tfevents.0.sightline      both for TensorBoard
 * checkpoints/                         what it goes on from
 * adapter_config.json, adapter_model.safetensors   the adapter in PEFT's format
 * best/                                the same of the evaluation with the lowest action loss
 * alignment_projector.safetensors     of every aligned layer, in mode align
 * frames.json                          a few frames, and the actions the model takes there
 * dataset_statistics.json              how its actions are normalised
 * result.json                          how it ended
 * </pre>
 */
final class ModeRun {
  private final JobConfig config;
  private final Mode mode;
  private final PrintWriter out;
  private final FolderLock lock;
  private final CheckpointStore checkpoints;
  private final Path folder;

  /**
   * @param out for what the run has to say at its end
   * @param lock of the run's folder: without it nothing is written
   * @param contents digests of what the run learns from
   * @param changesAccepted whether it goes on from checkpoints of other config and contents, too
   */
  ModeRun(
      JobConfig config,
      Mode mode,
      PrintWriter out,
      FolderLock lock,
      Map<String, String> contents,
      boolean changesAccepted) {
    this.config = config;
    this.mode = mode;
    this.out = out;
    this.lock = lock;
    this.folder = config.output().resolve(mode.name().toLowerCase(Locale.ROOT));
    CheckpointStore own =
        new CheckpointStore(
                folder.resolve(RunFile.CHECKPOINTS), config.training().keepCheckpoints())
            .lockedBy(lock)
            .of(config.identity(mode, contents));
    this.checkpoints = changesAccepted ? own.acceptingChanges() : own;
  }

  /** The result of an earlier process; empty if the mode has not ended. */
  Optional<ModeResult> done() throws IOException {
    Optional<ModeResult.Summary> summary = ModeResult.summary(folder);
    boolean more = summary.isPresent() && summary.get().steps() < config.training().steps();
    return more && summary.get().end().equals("completed")
        ? Optional.empty() // More steps are asked for than before.
        : ModeResult.read(mode, folder);
  }

  /** Steps of the result if there is one, else of the newest checkpoint. */
  int stepsDone() throws IOException {
    Optional<ModeResult.Summary> summary = ModeResult.summary(folder);
    if (summary.isPresent()) {
      return summary.get().steps();
    }
    List<Integer> saved = checkpoints.steps();
    return saved.isEmpty() ? 0 : saved.get(saved.size() - 1);
  }

  /**
   * Passes unless the run cannot go on as asked, before it writes anything.
   *
   * @throws IllegalArgumentException if it has gone further, as steps cannot be undone, or its
   *     checkpoints are another run's
   */
  void requireCanGoOn() throws IOException {
    String name = mode.name().toLowerCase(Locale.ROOT);
    Checks.atLeast(
        "steps (mode %s is there already)".formatted(name), config.training().steps(), stepsDone());
    try {
      checkpoints.requireSameRun();
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          "%s; Start.RESUME_CHANGED goes on all the same".formatted(e.getMessage()), e);
    }
  }

  /** Trains from the start or a checkpoint; empty if it was interrupted. */
  Optional<ModeResult> run(
      OpenVla model, Teacher<VlaBatch> teacher, VlaData data, List<TrainingListener> observers)
      throws IOException, TrainingDivergedException {
    lock.requireHeld();
    Files.createDirectories(folder);
    model.setGradientCheckpointing(config.training().gradientCheckpointing());
    EarlyStopping stopping =
        config.training().earlyStop() == null ? null : config.training().earlyStop().listener();
    try (TrainingState<VlaBatch> state =
            new TrainingState<>(model, teacher, loop(config, mode, teacher));
        CsvLog log = new CsvLog(folder.resolve(RunHistory.LOG));
        TimingLog timing = new TimingLog(folder.resolve(RunHistory.TIMING));
        TensorBoardLog tensorBoard = new TensorBoardLog(folder);
        BatchIterator batches = data.train().repeat()) {
      if (config.alignment().projectorInit().isFitted()) {
        ProjectorFile.load(new FittedProjectors(config.output()).file(), state.projectors());
      }
      List<TrainingListener> listeners = new ArrayList<>();
      listeners.add(new Guard());
      listeners.addAll(observers);
      listeners.add(log);
      listeners.add(timing);
      listeners.add(tensorBoard);
      BestAdapter.Writer writer = into -> writeAdapter(model, state, data, into);
      listeners.add(new BestAdapter(folder.resolve(RunFile.BEST), writer));
      if (stopping != null) {
        listeners.add(stopping);
      }
      FineTuneResult result =
          FineTuner.fit(
              state,
              batches,
              () -> data.eval().epoch(0),
              checkpoints,
              listeners.toArray(TrainingListener[]::new));
      if (result.end() == FineTuneResult.End.INTERRUPTED) {
        return Optional.empty();
      }
      String name = mode.name().toLowerCase(Locale.ROOT);
      DataReport.waited(out, name, batches.waitedSeconds(), result.seconds());
      writer.write(folder);
      ExampleFrames.write(folder, model, data, config.seed(), lock);
      Optional<String> note = stopping == null ? Optional.empty() : stopping.reason();
      lock.requireHeld();
      ModeResult.write(folder, result, note);
    }
    return ModeResult.read(mode, folder);
  }

  /** Before all that write: nothing is to be written to a folder that is another run's by now. */
  private final class Guard implements TrainingListener {
    @Override
    public void begin(FineTuneConfig config, int trainedTensors, long trainedParameters) {
      requireHeld();
      try {
        ModeResult.delete(folder); // Of a run that is to go on; not before it is known that it can.
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }

    @Override
    public void step(StepEvent event) {
      requireHeld();
    }

    @Override
    public void evaluation(Evaluation evaluation) {
      requireHeld();
    }

    private void requireHeld() {
      try {
        lock.requireHeld();
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }
  }

  /** The settings of its loop. */
  static FineTuneConfig loop(JobConfig config, Mode mode, Teacher<VlaBatch> teacher) {
    ProjectorConfig projector =
        new ProjectorConfig(
            config.model().text().hiddenSize(),
            config.alignment().projectorSize(),
            teacher.width(),
            config.alignment().trainProjector(),
            config.alignment().projectorDropout(),
            config.dtype(),
            config.seed());
    TrainingConfig training = config.training();
    return FineTuneConfig.builder(mode, training.steps())
        .alignedLayers(config.alignment().layers())
        .projector(projector)
        .lambda(config.alignment().lambda())
        .reduction(config.alignment().layerReduction())
        .teacherNorm(config.alignment().teacherNorm())
        .gradientAccumulation(training.gradientAccumulationSteps())
        .seed(config.seed())
        .optimizer(training.optimizer())
        .schedule(training.schedule())
        .logInterval(training.logInterval())
        .evaluationInterval(training.evaluationInterval())
        .initialEvaluation(true)
        .checkpointInterval(training.checkpointInterval())
        .outOfMemory(training.oom())
        .build();
  }

  private void writeAdapter(OpenVla model, TrainingState<VlaBatch> state, VlaData data, Path into)
      throws IOException {
    lock.requireHeld();
    var adapters = model.adapters();
    PeftConfig peft =
        PeftConfig.of(config.lora(), adapters.keySet()).withBaseModel(config.baseName());
    new PeftAdapter(peft, adapters).write(into);
    if (mode == Mode.ALIGN) {
      ProjectorFile.write(into.resolve(ProjectorFile.NAME), state.projectors());
    }
    StatisticsJson.write(into.resolve("dataset_statistics.json"), data.statisticsByName());
  }
}
