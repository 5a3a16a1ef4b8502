package org.sightline.vla.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.ProjectorConfig;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.FineTuneConfigBuilder;
import org.sightline.train.FineTuner;
import org.sightline.train.Mode;
import org.sightline.train.StepEvent;
import org.sightline.train.Teacher;
import org.sightline.train.TrainingDivergedException;
import org.sightline.train.TrainingListener;
import org.sightline.train.TrainingState;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.model.LoraPlan;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;

/**
 * Real steps of a planned run on a device: random weights and batches, and random features in the
 * teacher's place, as from a cache.
 *
 * @param secondsPerStep of the steps after the first
 * @param baselineBytes resident memory of the process before the model; of a GPU 0
 * @param peakBytes the most it had; of a GPU what libtorch's allocator took from it
 */
public record StepTrial(double secondsPerStep, long baselineBytes, long peakBytes) {
  private static final long SEED = 7;

  /**
   * Runs {@code steps} steps, and one before them that is not timed.
   *
   * @param observer may ask to interrupt them
   * @throws IOException if the system does not tell a process's memory (it is not Linux)
   */
  public static StepTrial run(
      StepConfig settings, Device device, int steps, TrainingListener observer)
      throws IOException, TrainingDivergedException {
    Checks.atLeast("measure", steps, 1);
    Checks.atMost("measure", steps, Integer.MAX_VALUE - 1);
    device.ensureAvailable();
    boolean host = device.equals(Device.CPU);
    long baseline = host ? status("VmRSS") : 0;
    long free = host ? 0 : device.freeBytes();
    OpenVlaConfig model = settings.model();
    Weights weights = Weights.random(model, SEED, device);
    LoraConfig lora = LoraConfig.of(settings.rank(), settings.rank() / 2.0);
    var clock = new Clock();
    try (OpenVla policy =
            OpenVla.of(model, weights, device, settings.dtype(), LoraPlan.all(lora), SEED);
        Features teacher = settings.aligned() ? new Features(settings) : null;
        TrainingState<VlaBatch> state =
            new TrainingState<>(policy, teacher, config(settings, steps))) {
      policy.setGradientCheckpointing(settings.gradientCheckpointing());
      FineTuner.fit(state, batches(settings), clock, observer);
    }
    long peak = host ? status("VmHWM") : free - device.freeBytes(); // It gives nothing back.
    return new StepTrial(clock.mean(), baseline, peak);
  }

  private static FineTuneConfig config(StepConfig settings, int steps) {
    Mode mode = settings.aligned() ? Mode.ALIGN : Mode.DEFAULT;
    FineTuneConfigBuilder config =
        FineTuneConfig.builder(mode, steps + 1)
            .seed(SEED)
            .optimizer(AdamW.Config.defaults().withPrecision(settings.precision()));
    if (settings.aligned()) {
      var projector =
          new ProjectorConfig(
              settings.model().text().hiddenSize(),
              settings.projectorSize(),
              settings.teacher().vision().width(),
              false,
              0,
              settings.dtype(),
              SEED);
      config.alignedLayers(settings.alignedLayers()).projector(projector);
    }
    return config.build();
  }

  /** A batch like any other, again and again: the run closes each. */
  private static Iterator<VlaBatch> batches(StepConfig settings) {
    return IntStream.iterate(0, i -> i + 1).mapToObj(i -> batch(settings, i)).iterator();
  }

  /** Rows of equal length: BOS, text, and labels on the last tokens. */
  static VlaBatch batch(StepConfig settings, long seed) {
    OpenVlaConfig model = settings.model();
    int rows = settings.batchSize();
    int columns = settings.textTokens();
    int side = model.dino().imageSize();
    int perRow = 6 * side * side;
    Checks.atMost("batchSize", rows, Integer.MAX_VALUE / Math.max(perRow, columns));
    var random = new Random(seed);
    var pixels = new float[rows * perRow];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = (float) random.nextGaussian();
    }
    var ids = new long[rows * columns];
    var labels = new long[rows * columns];
    var mask = new long[rows * columns];
    Arrays.fill(labels, -100);
    Arrays.fill(mask, 1);
    for (int i = 0; i < ids.length; i++) {
      int column = i % columns;
      boolean labelled = column >= columns - settings.labelledTokens();
      ids[i] =
          column == 0
              ? model.bosToken()
              : labelled
                  ? model.actionTokenBegin() + random.nextInt(model.actionBins())
                  : random.nextInt(model.actionTokenBegin());
      labels[i] = labelled ? ids[i] : labels[i];
    }
    return new VlaBatch(
        Tensor.create(pixels, rows, 6, side, side),
        Tensor.create(ids, rows, columns),
        Tensor.create(mask, rows, columns),
        Tensor.create(labels, rows, columns),
        torch.zeros(rows, 7));
  }

  /** A line of {@code /proc/self/status}, in bytes. */
  private static long status(String key) throws IOException {
    List<String> lines = Files.readAllLines(Path.of("/proc/self/status"));
    for (String line : lines) {
      if (line.startsWith(key + ":")) {
        return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
      }
    }
    throw new IOException("/proc/self/status must hold " + key + ", found " + lines);
  }

  /** The same random features for every batch. */
  private static final class Features implements Teacher<VlaBatch> {
    private final Tensor values;

    Features(StepConfig settings) {
      Tensor drawn =
          torch.randn(
              settings.batchSize(),
              settings.model().imageTokens(),
              settings.teacher().vision().width());
      values = settings.dtype() == DType.BFLOAT16 ? drawn.to(ScalarType.BFloat16) : drawn;
      values.retainReference();
    }

    @Override
    public Tensor features(VlaBatch batch) {
      return new Tensor(values);
    }

    @Override
    public long width() {
      return values.size(2);
    }

    @Override
    public void close() {
      values.close();
    }
  }

  /** Mean time of all steps but the first, which warms up. */
  private static final class Clock implements TrainingListener {
    private double seconds;
    private int steps;

    @Override
    public void step(StepEvent event) {
      if (event.step() > 1) {
        seconds += event.secondsPerStep();
        steps++;
      }
    }

    double mean() {
      return seconds / steps;
    }
  }
}
