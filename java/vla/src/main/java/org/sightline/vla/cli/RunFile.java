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
import java.util.Set;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.json.JsonFields;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * {@code run.json}: everything a run was started with. Its {@code options} are what {@code
 * --resume} reads; the rest tells people where the results came from.
 *
 * <pre>
 * options     every option and its value, wherever that came from
 * contents    digests of what it learns from: weights, tokenizer, teacher, each dataset
 * started     time, arguments, versions (Sightline's commit among them), hardware
 * resumed     the same for each time the run was taken up again, and what was changed then
 * </pre>
 */
final class RunFile {
  static final String NAME = "run.json";
  static final String CONTENTS = "contents";
  private static final Gson GSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  private RunFile() {}

  /**
   * Writes the file at the start of a run.
   *
   * @param contents empty: not known yet
   */
  static void write(Path folder, CommandSpec command, Map<String, String> contents)
      throws IOException {
    JsonObject root = new JsonObject();
    root.add("options", options(command));
    root.add(CONTENTS, GSON.toJsonTree(contents));
    root.add("started", occasion(command));
    write(folder, root);
  }

  static void write(Path folder, JsonObject root) throws IOException {
    AtomicFile.writeText(folder.resolve(NAME), GSON.toJson(root) + "\n");
  }

  /**
   * What was written, with empty lists where nothing was.
   *
   * @throws org.sightline.formats.FormatException if it is something else by now
   */
  static JsonObject read(Path folder) throws IOException {
    JsonFields root = JsonFields.read(folder.resolve(NAME));
    root.object("options");
    root.object("started");
    if (root.has(CONTENTS)) {
      for (String name : root.object(CONTENTS).keys()) {
        root.object(CONTENTS).text(name);
      }
    } else {
      root.json().add(CONTENTS, new JsonObject());
    }
    if (root.has("resumed")) {
      root.objects("resumed");
    } else {
      root.json().add("resumed", new JsonArray());
    }
    return root.json();
  }

  static JsonObject options(CommandSpec command) {
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

  static JsonObject occasion(CommandSpec command) {
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
