package org.sightline.vla.finetune;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.sightline.train.checkpoint.RunIdentity;

/**
 * A run that is taken up again: what it learns from must be what it was, and what else is new is
 * noted in {@code run.json}.
 */
final class RunResumption {
  /** What the bits of a run depend on beside its settings and contents. */
  private static final List<String> ENVIRONMENT =
      List.of(RunEnvironment.THREADS, "cpu", "cpu_backend", "libtorch");

  private final Path folder;
  private final JsonObject run; // as it will be
  private final JsonObject before; // the occasion before this one
  private final JsonObject now;
  private final List<String> changes;

  private RunResumption(
      Path folder, JsonObject run, JsonObject before, JsonObject now, List<String> changes) {
    this.folder = folder;
    this.run = run;
    this.before = before;
    this.now = now;
    this.changes = changes;
  }

  /**
   * Compares a run with what its folder says; writes nothing.
   *
   * @param contents digests of what it learns from now
   */
  static RunResumption of(JobConfig config, List<String> arguments, Map<String, String> contents)
      throws IOException {
    Path folder = config.output();
    JsonObject run = RunFile.read(folder);
    JsonArray resumed = run.getAsJsonArray("resumed");
    JsonObject before =
        resumed.isEmpty()
            ? run.getAsJsonObject("started")
            : resumed.get(resumed.size() - 1).getAsJsonObject();
    JsonObject noted = run.getAsJsonObject(RunFile.CONTENTS);
    JsonObject found = new JsonObject();
    contents.forEach(found::addProperty);
    // A run that was killed before it noted them has learnt nothing yet.
    List<String> changes = noted.isEmpty() ? List.of() : differences(noted, found);
    JsonObject options = RunFile.options(config);
    JsonObject now = RunFile.occasion(arguments);
    JsonArray changed = new JsonArray();
    differences(run.getAsJsonObject("options"), options).forEach(changed::add);
    changes.forEach(changed::add);
    now.add("changes", changed);
    run.add("options", options);
    run.add(RunFile.CONTENTS, found);
    resumed.add(now);
    return new RunResumption(folder, run, before, now, changes);
  }

  private static List<String> differences(JsonObject expected, JsonObject found) {
    return identity(expected).differences(identity(found));
  }

  private static RunIdentity identity(JsonObject json) {
    Map<String, String> values = new TreeMap<>();
    for (Map.Entry<String, JsonElement> entry : json.entrySet()) {
      JsonElement value = entry.getValue();
      values.put(entry.getKey(), value.isJsonPrimitive() ? value.getAsString() : value.toString());
    }
    return new RunIdentity(values);
  }

  /**
   * Passes if the run learns from what it learnt from.
   *
   * @throws IllegalArgumentException naming each difference, unless changes are accepted
   */
  void requireSameContents(boolean changesAccepted) {
    if (!changes.isEmpty() && !changesAccepted) {
      throw new IllegalArgumentException(
          "%s is of other contents: %s; Start.RESUME_CHANGED goes on all the same"
              .formatted(folder.resolve(RunFile.NAME), String.join("; ", changes)));
    }
  }

  /** Notes in the file that the run goes on. */
  void write() throws IOException {
    RunFile.write(folder, run);
  }

  /** What the user should know. */
  List<String> warnings() {
    List<String> warnings = new ArrayList<>();
    changes.forEach(change -> warnings.add("the run goes on with other contents: " + change));
    Map<String, String> mine = environment(now);
    environment(before)
        .forEach(
            (name, expected) -> {
              String found = mine.get(name);
              if (!expected.equals(found)) {
                warnings.add(
                    "the run goes on with %s %s, it had %s: its bytes will not be those of an unbroken run"
                        .formatted(found, name.replace('_', ' '), expected));
              }
            });
    return warnings;
  }

  /** Without what an older version did not note. */
  private static Map<String, String> environment(JsonObject occasion) {
    Map<String, String> found = new TreeMap<>();
    for (String section : List.of("hardware", "versions")) {
      JsonElement facts = occasion.get(section);
      if (facts != null && facts.isJsonObject()) {
        for (String name : ENVIRONMENT) {
          JsonElement fact = facts.getAsJsonObject().get(name);
          if (fact != null && fact.isJsonPrimitive()) {
            found.put(name, fact.getAsString());
          }
        }
      }
    }
    return found;
  }
}
