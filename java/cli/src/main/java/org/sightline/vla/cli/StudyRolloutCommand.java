package org.sightline.vla.cli;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.sightline.Checks;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.InputFile;
import org.sightline.study.rollout.Actor;
import org.sightline.study.rollout.ContactSheet;
import org.sightline.study.rollout.Episode;
import org.sightline.study.rollout.Rollout;
import org.sightline.study.rollout.Rollouts;
import org.sightline.study.task.DrawnPictures;
import org.sightline.study.task.Task;
import org.sightline.vla.checkpoint.PathChecks;
import org.sightline.vla.policy.Policy;
import org.sightline.vla.policy.rest.RemotePolicy;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline study rollout}: how often a policy succeeds in closed loop. */
@Command(
    name = "rollout",
    description = {
      "Let a policy act on the tabletop, and count successes by task.",
      "Scenes depend on --seed alone: policies rolled out with one seed met the same ones.",
      "Action ids alone compete; episodes go on after a success, as in the paper."
    },
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    sortOptions = false,
    usageHelpAutoWidth = true)
final class StudyRolloutCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(
      names = "--tasks",
      defaultValue = "all",
      paramLabel = "NAMES",
      description =
          "all, ood (the thirteen of table 1), boards (the eight of table 2), or names of axes and"
              + " tasks, separated by commas.")
  private String tasks;

  @Option(names = "--scenes", defaultValue = "24", description = "Episodes of each task.")
  private int scenes;

  @Option(names = "--seed", defaultValue = "1000", description = "Of the first scene.")
  private long seed;

  @Option(names = "--steps", defaultValue = "40", description = "Of every episode.")
  private int steps;

  @Option(
      names = "--temperature",
      defaultValue = "0",
      description = "At which actions are drawn; 0: the most likely ones. The paper's is 0.6.")
  private double temperature;

  @Option(names = "--batch-size", defaultValue = "24", description = "Robots that act at once.")
  private int batchSize;

  @Option(
      names = "--filmed",
      defaultValue = "2",
      description = "Episodes of each task whose frames go into --output.")
  private int filmed;

  @Option(
      names = "--server",
      paramLabel = "URL",
      description =
          "A policy behind POST URL/act, as OpenVLA's deploy.py serves one, instead of one here.")
  private URI server;

  @Option(
      names = "--camera-size",
      paramLabel = "PIXELS",
      description = "Side of the pictures; without it the model's, for a server 224.")
  private Integer cameraSize;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      description = "Folder for rollout.json and sheets of frames; made if it is not there.")
  private Path output;

  @Mixin private PolicyOptions policy;

  @Option(names = "--json", description = "Print rollout.json instead of a table.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    List<Task> wanted = Task.parse(tasks);
    Checks.atLeast("--scenes", scenes, 1);
    Checks.atLeast("--filmed", filmed, 0);
    Checks.notNegative("--temperature", temperature);
    PathChecks.canBeFolder("output", output);
    requireNew(output, Rollouts.FILE);
    if (server != null) {
      if (temperature != 0) {
        throw new IllegalArgumentException(
            "--temperature must be 0 with --server, which draws as it likes, found " + temperature);
      }
      finish(run(wanted, Actor.of(new RemotePolicy(server, policy.unnormKey())), 224));
      return 0;
    }
    policy.builder().requireThere();
    try (Policy loaded = policy.builder().load()) {
      finish(run(wanted, Actor.of(loaded, temperature), loaded.images().size()));
    }
    return 0;
  }

  /** Hours of rollouts are not overwritten. */
  static void requireNew(Path folder, String file) {
    if (folder != null && InputFile.exists(folder.resolve(file))) {
      throw new IllegalArgumentException(
          "--output must be a folder without %s, found one in %s".formatted(file, folder));
    }
  }

  private Rollouts run(List<Task> wanted, Actor actor, int size) throws IOException {
    int side = cameraSize == null ? size : cameraSize;
    Rollout rollout = new Rollout(steps, side, batchSize, new DrawnPictures());
    Map<Task, List<Episode>> episodes = new EnumMap<>(Task.class);
    long start = System.nanoTime();
    for (Task task : wanted) {
      Ending.check();
      episodes.put(task, rollout.run(actor, task, scenes, seed, output == null ? 0 : filmed));
    }
    double seconds = (System.nanoTime() - start) * 1e-9;
    JsonObject about = new JsonObject();
    about.addProperty("policy", server == null ? policy.describe() : server.toString());
    about.addProperty("scenes", scenes);
    about.addProperty("seed", seed);
    about.addProperty("steps", steps);
    about.addProperty("temperature", temperature);
    about.addProperty("camera_size", rollout.imageSize());
    about.addProperty("steps_per_second", (double) wanted.size() * scenes * steps / seconds);
    return new Rollouts(about, episodes);
  }

  private void finish(Rollouts rollouts) throws IOException {
    if (output != null) {
      Files.createDirectories(output);
      for (Map.Entry<Task, List<Episode>> entry : rollouts.episodes().entrySet()) {
        byte[] sheet = ContactSheet.png(entry.getValue());
        if (sheet != null) {
          String name = entry.getKey().name().toLowerCase(Locale.ROOT) + ".png";
          ByteBuffer bytes = ByteBuffer.wrap(sheet);
          AtomicFile.write(output.resolve(name), channel -> AtomicFile.writeFully(channel, bytes));
        }
      }
      rollouts.write(output.resolve(Rollouts.FILE));
    }
    PrintWriter out = spec.commandLine().getOut();
    out.print(json ? Rollouts.text(rollouts.toJson()) : rollouts.table());
    out.flush();
  }
}
