package org.sightline.vla.cli;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.sightline.Checks;
import org.sightline.formats.Printable;
import org.sightline.vla.checkpoint.PathChecks;
import org.sightline.vla.data.loader.BatchIterator;
import org.sightline.vla.data.loader.EpisodeSet;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaBatcher;
import org.sightline.vla.data.loader.VlaDataLoader;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.DatasetScan;
import org.sightline.vla.data.rlds.EpisodeSplit;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.finetune.DataFolder;
import org.sightline.vla.finetune.DataReport;
import org.sightline.vla.policy.ActionErrors;
import org.sightline.vla.policy.AdapterRun;
import org.sightline.vla.policy.Policy;
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
      "Each token is predicted given the recorded ones before it; the whole vocabulary competes,",
      "and tokens that stand for no action are counted.",
      "Of the data that the adapter's run was trained on, the episodes that it held out count."
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

  @Option(
      names = "--data",
      paramLabel = "[NAME@]DIR",
      required = true,
      description = "RLDS folder; NAME is what the run called it, where that is not its own.")
  private String data;

  @Option(names = "--split", defaultValue = "train", description = "Of the RLDS folder.")
  private String split;

  @Option(
      names = "--episodes",
      description = {
        "Of ${COMPLETION-CANDIDATES}; the last two as finetune divides them.",
        "Without it held_out for data of the adapter's run, all for others."
      })
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

  @Option(
      names = "--skip-corrupt",
      description = "Leave out what cannot be read; without it as the run did, else no.")
  private Boolean skipCorrupt;

  @Option(
      names = {"--keep-unlabelled", "--keep-unlabeled"},
      description = "Count steps without an instruction; without it as the run did, else no.")
  private Boolean keepUnlabelled;

  @Option(names = "--batch-size", defaultValue = "8", description = "Samples per forward pass.")
  private int batchSize;

  @Mixin private PolicyOptions policy;

  @Option(names = "--json", description = "Print a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    DataFolder folder = DataFolder.of(data);
    PathChecks.exists("data", folder.path());
    if (folder.share() != null) {
      throw new IllegalArgumentException(
          "--data must be one folder without a share, found " + data);
    }
    Checks.atLeast("--batch-size", batchSize, 1);
    policy.builder().requireThere();
    AdapterRun run = policy.run();
    double heldOut = run.evalFraction(evalFraction);
    Checks.belowOne("--eval-fraction", heldOut);
    long seed = run.seed(splitSeed);
    RldsDataset dataset =
        run.asTrained(folder)
            .open(
                split,
                run.camera(camera),
                run.flag("skip-corrupt", skipCorrupt),
                run.flag("keep-unlabelled", keepUnlabelled));
    DatasetScan scan = DatasetScan.of(dataset);
    Optional<ActionStatistics> trained =
        split.equals("train") ? run.statistics(dataset.name()) : Optional.empty();
    Part counted = part != null ? part : trained.isPresent() ? Part.HELD_OUT : Part.ALL;
    int[] episodes = scan.usable();
    if (counted != Part.ALL) {
      EpisodeSplit divided = EpisodeSplit.of(episodes, heldOut, seed);
      trained.ifPresent(before -> requireSame(dataset, scan, divided.train(), before));
      episodes = counted == Part.TRAINING ? divided.train() : divided.eval();
    }
    if (Arrays.stream(scan.steps(episodes)).sum() == 0) {
      throw new IllegalArgumentException(
          "--episodes %s: found none of %d at --eval-fraction %s, expected at least 1"
              .formatted(lowerCase(counted), scan.usable().length, heldOut));
    }
    try (Policy loaded = policy.builder().load()) {
      var set = new EpisodeSet(dataset, episodes, scan.steps(episodes), loaded.statistics(), 1);
      print(set, counted, scan.usable().length, measure(loaded, set));
    }
    return 0;
  }

  /** The division is that of the training only if the same episodes are divided. */
  private void requireSame(
      RldsDataset dataset, DatasetScan scan, int[] training, ActionStatistics before) {
    long steps = Arrays.stream(scan.steps(training)).asLongStream().sum();
    if (training.length != before.trajectories() || steps != before.transitions()) {
      throw new IllegalArgumentException(
          ("--episodes must be all for %s: the run of the adapter trained on %d episodes of %d steps"
                  + " of \"%s\", here it would be %d of %d: other data, or changed since")
              .formatted(
                  data,
                  before.trajectories(),
                  before.transitions(),
                  dataset.name(),
                  training.length,
                  steps));
    }
  }

  private static String lowerCase(Part part) {
    return part.name().toLowerCase(Locale.ROOT);
  }

  private ActionErrors measure(Policy loaded, EpisodeSet set) {
    var batcher =
        new VlaBatcher(loaded.tokenizer(), loaded.actions(), loaded.statistics(), loaded.images());
    var loader =
        new VlaDataLoader(
            List.of(set), batcher, VlaDataLoader.Options.evaluation(batchSize).withThreads(1));
    ActionErrors errors = new ActionErrors(loaded.actions(), loaded.statistics());
    try (BatchIterator batches = loader.epoch(0)) {
      while (batches.hasNext()) {
        Ending.check();
        try (VlaBatch batch = batches.next()) {
          errors.add(loaded.model().predict(batch));
        }
      }
    }
    return errors;
  }

  private void print(EpisodeSet set, Part counted, int usable, ActionErrors errors) {
    RldsDataset dataset = set.dataset();
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(Inspection.json(jsonObject(set, counted, usable, errors)));
    } else {
      out.printf(
          Locale.ROOT,
          "%s, split %s: %d of %d episodes (%s), %d steps%n",
          Printable.of(dataset.name()),
          Printable.of(dataset.split()),
          set.episodes().length,
          usable,
          lowerCase(counted).replace('_', ' '),
          errors.steps());
      DataReport.leftOut(out, dataset);
      out.printf(Locale.ROOT, "loss            %.4f%n", errors.loss());
      out.printf(Locale.ROOT, "token accuracy  %.4f%n", errors.tokenAccuracy());
      out.printf(
          Locale.ROOT,
          "no action       %d of %d tokens said; they count as an end of the range%n",
          errors.noActions(),
          errors.actionTokens());
      out.printf(Locale.ROOT, "action L1       %.4f, in [-1,1]%n%n", errors.meanL1());
      out.printf(Locale.ROOT, "dimension  L1 in [-1,1]  L1 in the data's units%n");
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

  private JsonObject jsonObject(EpisodeSet set, Part counted, int usable, ActionErrors errors) {
    RldsDataset dataset = set.dataset();
    JsonObject object = new JsonObject();
    object.addProperty("dataset", dataset.name());
    object.addProperty("split", dataset.split());
    object.addProperty("counted", lowerCase(counted));
    object.addProperty("episodes", set.episodes().length);
    object.addProperty("usable_episodes", usable);
    object.addProperty("steps", errors.steps());
    object.add("left_out", new Gson().toJsonTree(dataset.leftOut().counts()));
    object.addProperty("loss", errors.loss());
    object.addProperty("token_accuracy", errors.tokenAccuracy());
    object.addProperty("action_tokens", errors.actionTokens());
    object.addProperty("no_action_tokens", errors.noActions());
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
