package org.sightline.vla.cli;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.sightline.vla.data.BatchIterator;
import org.sightline.vla.data.DatasetScan;
import org.sightline.vla.data.EpisodeSet;
import org.sightline.vla.data.EpisodeSplit;
import org.sightline.vla.data.RldsDataset;
import org.sightline.vla.data.RldsKeys;
import org.sightline.vla.data.Step;
import org.sightline.vla.data.VlaBatch;
import org.sightline.vla.data.VlaBatcher;
import org.sightline.vla.data.VlaDataLoader;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline eval}: how well a policy predicts the actions of recorded episodes. */
@Command(
    name = "eval",
    description = {
      "Loss, token accuracy and L1 per action dimension on recorded episodes.",
      "Each token is predicted given the recorded ones before it; the whole vocabulary competes."
    },
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    sortOptions = false,
    usageHelpAutoWidth = true)
final class EvalCommand implements Callable<Integer> {
  /** Which episodes of a split. */
  enum Part {
    ALL,
    TRAINING,
    HELD_OUT
  }

  @Spec private CommandSpec spec;

  @Option(names = "--data", paramLabel = "DIR", required = true, description = "RLDS folder.")
  private Path data;

  @Option(names = "--split", defaultValue = "train", description = "Of the RLDS folder.")
  private String split;

  @Option(
      names = "--episodes",
      defaultValue = "all",
      description = "Of ${COMPLETION-CANDIDATES}; the last two as finetune divides them.")
  private Part part;

  @Option(
      names = "--eval-fraction",
      description =
          "Share of the episodes that training held out; without it the run's of the adapter, else"
              + " 0.15.")
  private Double evalFraction;

  @Option(names = "--split-seed", description = "Training's --seed; without it the run's, else 7.")
  private Long splitSeed;

  @Option(
      names = "--camera",
      paramLabel = "KEY",
      description =
          "Image of the observations the policy sees; without it the run's, else image_0.")
  private String camera;

  @Option(names = "--batch-size", defaultValue = "8", description = "Samples per forward pass.")
  private int batchSize;

  @Mixin private PolicyOptions policy;

  @Option(names = "--json", description = "Print a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    OptionChecks.exists("--data", data);
    OptionChecks.atLeast("--batch-size", batchSize, 1);
    policy.requireThere();
    AdapterRun run = policy.run();
    RldsKeys keys = RldsKeys.BRIDGE.withCamera(run.camera(camera));
    double heldOut = run.evalFraction(evalFraction);
    OptionChecks.belowOne("--eval-fraction", heldOut);
    long seed = run.seed(splitSeed);
    RldsDataset dataset = RldsDataset.open(data, split, keys);
    int[] episodes = episodes(dataset, heldOut, seed);
    try (LoadedPolicy loaded = policy.open()) {
      print(dataset, episodes.length, measure(loaded, dataset, episodes));
    }
    return 0;
  }

  private int[] episodes(RldsDataset dataset, double heldOut, long seed) {
    if (part == Part.ALL) {
      return IntStream.range(0, dataset.size()).toArray();
    }
    EpisodeSplit divided = EpisodeSplit.of(dataset.size(), heldOut, seed);
    int[] chosen = part == Part.TRAINING ? divided.train() : divided.eval();
    if (chosen.length == 0) {
      throw new IllegalArgumentException(
          "--episodes %s: found none of %d at --eval-fraction %s, expected at least 1"
              .formatted(part.name().toLowerCase(Locale.ROOT), dataset.size(), heldOut));
    }
    return chosen;
  }

  private ActionErrors measure(LoadedPolicy loaded, RldsDataset dataset, int[] episodes)
      throws IOException {
    int[] steps = DatasetScan.of(dataset).steps(episodes);
    var set = new EpisodeSet(dataset, episodes, steps, loaded.statistics(), 1);
    var batcher =
        new VlaBatcher(loaded.tokenizer(), loaded.actions(), loaded.statistics(), loaded.images());
    var loader =
        new VlaDataLoader(
            List.of(set), batcher, VlaDataLoader.Options.evaluation(batchSize).withThreads(1));
    ActionErrors errors = new ActionErrors(loaded.actions(), loaded.statistics());
    try (BatchIterator batches = loader.epoch(0)) {
      while (batches.hasNext()) {
        try (VlaBatch batch = batches.next()) {
          errors.add(loaded.model().predict(batch));
        }
      }
    }
    return errors;
  }

  private void print(RldsDataset dataset, int episodes, ActionErrors errors) {
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(
          new GsonBuilder()
              .setPrettyPrinting()
              .create()
              .toJson(jsonObject(dataset, episodes, errors)));
    } else {
      out.printf(
          Locale.ROOT,
          "%s, split %s: %d episodes, %d steps%n",
          dataset.name(),
          dataset.split(),
          episodes,
          errors.steps());
      out.printf(Locale.ROOT, "loss            %.4f%n", errors.loss());
      out.printf(Locale.ROOT, "token accuracy  %.4f%n", errors.tokenAccuracy());
      out.printf(Locale.ROOT, "action L1       %.4f, in [-1,1]%n%n", errors.meanL1());
      out.printf("dimension  L1 in [-1,1]  L1 in the data's units%n");
      for (int d = 0; d < Step.ACTION_SIZE; d++) {
        out.printf(
            Locale.ROOT,
            "%-9s  %12.4f  %22.6f%n",
            Step.ACTION_NAMES.get(d),
            errors.l1(d),
            errors.l1InUnits(d));
      }
    }
    out.flush();
  }

  private JsonObject jsonObject(RldsDataset dataset, int episodes, ActionErrors errors) {
    JsonObject object = new JsonObject();
    object.addProperty("dataset", dataset.name());
    object.addProperty("split", dataset.split());
    object.addProperty("episodes", episodes);
    object.addProperty("steps", errors.steps());
    object.addProperty("loss", errors.loss());
    object.addProperty("token_accuracy", errors.tokenAccuracy());
    object.addProperty("action_l1", errors.meanL1());
    JsonObject l1 = new JsonObject();
    JsonObject units = new JsonObject();
    for (int d = 0; d < Step.ACTION_SIZE; d++) {
      l1.addProperty(Step.ACTION_NAMES.get(d), errors.l1(d));
      units.addProperty(Step.ACTION_NAMES.get(d), errors.l1InUnits(d));
    }
    object.add("action_l1_by_dimension", l1);
    object.add("action_l1_by_dimension_in_units", units);
    return object;
  }
}
