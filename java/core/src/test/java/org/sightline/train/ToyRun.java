package org.sightline.train;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.AdamW;
import org.sightline.ProjectorConfig;
import org.sightline.Sightline;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.Toy.ToyTeacher;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.listener.CsvLog;
import org.sightline.train.listener.EarlyStopping;
import org.sightline.train.listener.TensorBoardLog;
import org.sightline.train.listener.TimingLog;

/**
 * A run with everything that has a state: dropout in policy and projectors, trained projectors,
 * random numbers in the data, accumulation, a schedule, logs that are out of step with the
 * checkpoints. Also a program of its own, to be killed.
 */
final class ToyRun {
  private ToyRun() {}

  /** Arguments: the folder of the run, its steps. Prints a line for every event. */
  public static void main(String[] args) throws Exception {
    Sightline.load();
    torch.set_num_threads(1);
    TrainingListener printer =
        new TrainingListener() {
          @Override
          public void resume(int step) {
            System.out.println("resumed " + step);
          }

          @Override
          public void warning(String message) {
            System.out.println("warning " + message);
          }

          @Override
          public void step(StepEvent event) {
            System.out.println("step " + event.step());
          }
        };
    FineTuneResult result = run(Path.of(args[0]), Integer.parseInt(args[1]), printer);
    System.out.println("end " + result.end() + " " + result.steps());
  }

  static FineTuneConfig config(int steps) {
    ProjectorConfig p = Toy.PROJECTOR;
    ProjectorConfig trained =
        new ProjectorConfig(
            p.hiddenSize(), p.projectorSize(), p.teacherSize(), true, 0.1, p.compute(), p.seed());
    return FineTuneConfig.builder(Mode.ALIGN, steps)
        .alignedLayers(List.of(1, 2))
        .projector(trained)
        .optimizer(new AdamW.Config(1e-3, 0.9, 0.999, 1e-8, 0.01, 1, true, AdamW.Precision.MASTER))
        .schedule(new LearningRateSchedule(LearningRateSchedule.Shape.COSINE, 10))
        .gradientAccumulation(2)
        .seed(3)
        .logInterval(3)
        .evaluationInterval(25)
        .initialEvaluation(true)
        .checkpointInterval(4)
        .build();
  }

  /** Runs to the end, from a checkpoint if there is one; leaves weights and logs. */
  static FineTuneResult run(Path folder, int steps, TrainingListener... more)
      throws IOException, TrainingDivergedException {
    Files.createDirectories(folder);
    try (ToyPolicy policy = new ToyPolicy(0.1);
        ToyTeacher teacher = new ToyTeacher();
        TrainingState<Batch> state = new TrainingState<>(policy, teacher, config(steps));
        CsvLog log = new CsvLog(folder.resolve("log.csv"));
        TimingLog timing = new TimingLog(folder.resolve("timing.csv"));
        TensorBoardLog tensorBoard = new TensorBoardLog(folder)) {
      List<TrainingListener> listeners = new ArrayList<>(List.of(more));
      listeners.add(0, log);
      listeners.add(1, timing);
      listeners.add(1, tensorBoard);
      listeners.add(2, new EarlyStopping("action_l1", EarlyStopping.Goal.LOWER, 1000, 0));
      FineTuneResult result =
          FineTuner.fit(
              state,
              new Toy.Stream(),
              () -> Toy.batches(2, 4, 50).iterator(),
              new CheckpointStore(folder.resolve("checkpoints"), 2),
              listeners.toArray(TrainingListener[]::new));
      if (result.end() == FineTuneResult.End.INTERRUPTED) {
        return result;
      }
      Map<String, Tensor> tensors = new LinkedHashMap<>(policy.trainableParameters());
      state
          .projectors()
          .forEach((layer, p) -> p.parameters().forEach((n, t) -> tensors.put(layer + n, t)));
      Safetensors.write(folder.resolve("adapter.safetensors"), tensors, Map.of());
      return result;
    }
  }
}
