package org.sightline.vla.cli;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.sightline.formats.AtomicFile;
import org.sightline.formats.JsonFields;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * {@code run.json}: everything a run was started with. Its {@code options} are what {@code
 * --resume} reads; the rest tells people where the results came from.
 *
 * <pre>
 * options     every option and its value, wherever that came from
 * started     time, arguments, versions (Sightline's commit among them), hardware
 * resumed     the same for each time the run was taken up again
 * </pre>
 */
final class RunFile {
  static final String NAME = "run.json";
  private static final Gson GSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  private RunFile() {}

  /** Writes the file at the start of a run. */
  static void write(Path folder, CommandSpec command) throws IOException {
    JsonObject root = new JsonObject();
    root.add("options", options(command));
    root.add("started", occasion(command));
    AtomicFile.writeText(folder.resolve(NAME), GSON.toJson(root) + "\n");
  }

  /**
   * Notes in the file that the run goes on.
   *
   * @return what the user should know of it, if anything
   */
  static Optional<String> addResumption(Path folder, CommandSpec command) throws IOException {
    JsonObject root = read(folder);
    JsonArray resumed = root.getAsJsonArray("resumed");
    JsonObject before =
        resumed.isEmpty()
            ? root.getAsJsonObject("started")
            : resumed.get(resumed.size() - 1).getAsJsonObject();
    JsonObject now = occasion(command);
    root.add("options", options(command));
    resumed.add(now);
    AtomicFile.writeText(folder.resolve(NAME), GSON.toJson(root) + "\n");
    String found = threads(now);
    String expected = threads(before);
    return expected == null || expected.equals(found)
        ? Optional.empty()
        : Optional.of(
            "the run goes on with %s threads, it had %s: its bytes will not be those of an unbroken run"
                .formatted(found, expected));
  }

  /** Null in the files of versions that did not note it. */
  private static String threads(JsonObject occasion) {
    JsonObject hardware = occasion.getAsJsonObject("hardware");
    JsonElement threads = hardware == null ? null : hardware.get(RunEnvironment.THREADS);
    return threads == null ? null : threads.getAsString();
  }

  /**
   * What was written, with an empty list where the run was not resumed.
   *
   * @throws org.sightline.formats.FormatException if it is something else by now
   */
  static JsonObject read(Path folder) throws IOException {
    JsonFields root = JsonFields.read(folder.resolve(NAME));
    root.object("options");
    root.object("started");
    if (root.has("resumed")) {
      root.objects("resumed");
    } else {
      root.json().add("resumed", new JsonArray());
    }
    return root.json();
  }

  private static JsonObject options(CommandSpec command) {
    Set<String> settings = ConfigDefaults.settings(command);
    JsonObject options = new JsonObject();
    for (OptionSpec option : command.options()) {
      Object value = option.getValue();
      boolean given = value != null && !(value instanceof Collection<?> items && items.isEmpty());
      if (given && settings.contains(ConfigDefaults.name(option))) {
        String name = ConfigDefaults.name(option);
        options.add(name, json(name.equals("data") ? DataFolder.list(option.getValue()) : value));
      }
    }
    return options;
  }

  private static JsonElement json(Object value) {
    if (value instanceof Collection<?> items) {
      JsonArray array = new JsonArray();
      for (Object item : items) {
        if (item instanceof Path path) {
          PathList.of(List.of(path)).forEach(each -> array.add(json(each)));
        } else {
          array.add(json(item));
        }
      }
      return array;
    }
    // The run may go on from another working directory.
    if (value instanceof Path path) {
      return GSON.toJsonTree(path.toAbsolutePath().normalize().toString());
    }
    if (value instanceof DataFolder folder) {
      return GSON.toJsonTree(folder.absolute().toString());
    }
    if (value instanceof Enum<?> constant) {
      return GSON.toJsonTree(constant.name().toLowerCase(Locale.ROOT));
    }
    return GSON.toJsonTree(value);
  }

  private static JsonObject occasion(CommandSpec command) {
    JsonObject occasion = new JsonObject();
    occasion.addProperty("time", Instant.now().toString());
    List<String> arguments = command.commandLine().getParseResult().originalArgs();
    occasion.add("arguments", GSON.toJsonTree(arguments));
    for (Map.Entry<String, Map<String, String>> section : RunEnvironment.describe().entrySet()) {
      occasion.add(section.getKey(), GSON.toJsonTree(section.getValue()));
    }
    return occasion;
  }
}
