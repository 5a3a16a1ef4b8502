package org.sightline.study.rollout;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Predicate;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.study.statistics.Interval;
import org.sightline.study.task.Task;

/**
 * What came of an actor's attempts at some tasks: {@code rollout.json}.
 *
 * @param about the actor and how it was tried, for readers
 * @param episodes by task; their frames are not stored
 */
public record Rollouts(JsonObject about, Map<Task, List<Episode>> episodes) {
  /** Its file in the folder of {@code study rollout}. */
  public static final String FILE = "rollout.json";

  public Rollouts {
    if (episodes.isEmpty() || episodes.values().stream().anyMatch(List::isEmpty)) {
      throw new IllegalArgumentException(
          "episodes must be at least one of each task, found tasks " + episodes.keySet());
    }
  }

  /** The share of a task's episodes of which something holds. */
  public Interval rate(Task task, Predicate<Episode> what) {
    List<Episode> all = episodes.get(task);
    return Interval.wilson((int) all.stream().filter(what).count(), all.size());
  }

  /** A line a task, for people. */
  public String table() {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%-16s %-16s %4s  %-20s %7s %7s %7s %7s%n",
            "axis",
            "task",
            "n",
            "success at the end",
            "once",
            "grasped",
            "wrong",
            "other"));
    for (Task task : episodes.keySet()) {
      Interval success = rate(task, Episode::success);
      text.append(
          String.format(
              Locale.ROOT,
              "%-16s %-16s %4d  %.3f [%.3f, %.3f] %7.3f %7.3f %7.3f %7.3f%n",
              task.axis().label(),
              task.label(),
              episodes.get(task).size(),
              success.value(),
              success.low(),
              success.high(),
              rate(task, Episode::successOnce).value(),
              rate(task, Episode::grasped).value(),
              rate(task, Episode::wrongTarget).value(),
              rate(task, Episode::graspedOther).value()));
    }
    text.append(
        "success with Wilson's 95 % interval; wrong: let go on another receptacle; other: held"
            + " another object\n");
    return text.toString();
  }

  /** All of it, rates first. */
  public JsonObject toJson() {
    JsonObject json = new JsonObject();
    json.add("about", about);
    JsonArray tasks = new JsonArray();
    episodes.forEach(
        (task, all) -> {
          JsonObject entry = new JsonObject();
          entry.addProperty("task", task.name().toLowerCase(Locale.ROOT));
          Interval success = rate(task, Episode::success);
          entry.addProperty("success_at_end", success.value());
          entry.addProperty("low", success.low());
          entry.addProperty("high", success.high());
          entry.addProperty("success_once", rate(task, Episode::successOnce).value());
          entry.addProperty("wrong_target", rate(task, Episode::wrongTarget).value());
          JsonArray rows = new JsonArray();
          all.forEach(episode -> rows.add(row(episode)));
          entry.add("episodes", rows);
          tasks.add(entry);
        });
    json.add("tasks", tasks);
    return json;
  }

  private static JsonObject row(Episode episode) {
    JsonObject row = new JsonObject();
    row.addProperty("seed", episode.seed());
    row.addProperty("instruction", episode.instruction());
    row.addProperty("success_at_end", episode.success());
    row.addProperty("success_once", episode.successOnce());
    row.addProperty("grasped", episode.grasped());
    row.addProperty("grasped_other", episode.graspedOther());
    row.addProperty("wrong_target", episode.wrongTarget());
    return row;
  }

  /** As files and commands have it. */
  public static String text(JsonObject json) {
    return new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create().toJson(json) + "\n";
  }

  /** Writes the file. */
  public void write(Path file) throws IOException {
    AtomicFile.writeText(file, text(toJson()));
  }

  /**
   * Reads the file.
   *
   * @throws FormatException if it is none
   */
  public static Rollouts read(Path file) throws IOException {
    JsonFields json = JsonFields.read(file);
    Map<Task, List<Episode>> episodes = new EnumMap<>(Task.class);
    for (JsonFields entry : json.objects("tasks")) {
      Task task;
      try {
        task = Task.valueOf(entry.text("task").toUpperCase(Locale.ROOT));
      } catch (IllegalArgumentException e) {
        throw entry.wrong("task", "the name of a task");
      }
      List<Episode> all = new ArrayList<>();
      for (JsonFields row : entry.objects("episodes")) {
        all.add(
            new Episode(
                task,
                row.longInteger("seed"),
                row.text("instruction"),
                row.bool("success_at_end"),
                row.bool("success_once"),
                row.bool("grasped"),
                row.bool("grasped_other"),
                row.bool("wrong_target"),
                List.of()));
      }
      if (all.isEmpty()) {
        throw entry.wrong("episodes", "at least one episode");
      }
      episodes.put(task, all);
    }
    if (episodes.isEmpty()) {
      throw json.wrong("tasks", "at least one task");
    }
    return new Rollouts(json.object("about").json(), episodes);
  }
}
