package org.sightline.vla.cli;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.checkpoint.PathChecks;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.events.AliasEvent;
import org.snakeyaml.engine.v2.events.CollectionEndEvent;
import org.snakeyaml.engine.v2.events.CollectionStartEvent;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/**
 * The options of a command in a file: YAML 1.2, of which JSON is a part. Keys are the options'
 * names without their dashes; a list stands for values that the command line separates by commas.
 *
 * <pre>
 * modes: [default, align]
 * steps: 2000
 * lr: 5e-4
 * </pre>
 */
final class ConfigFile {
  /**
   * @param text as the command line would give it
   * @param where file and line, for messages
   */
  record Value(String text, String where) {}

  private static final int MAX_BYTES = 1 << 20;
  private static final int MAX_DEPTH = 100;

  private final Map<String, Value> values;

  private ConfigFile(Map<String, Value> values) {
    this.values = Collections.unmodifiableMap(values);
  }

  /** By option name without dashes, in the order of the file. */
  Map<String, Value> values() {
    return values;
  }

  /**
   * Reads a file.
   *
   * @param known the keys it may have
   * @throws IllegalArgumentException if it is no mapping of known keys to values: names the line,
   *     what was found and what was expected
   */
  static ConfigFile read(Path file, Set<String> known) throws IOException {
    PathChecks.isFile("config", file);
    return of(file.toString(), text(file), known, null);
  }

  /** As {@link #read}, of what stands under one key of a file; the rest of it is not looked at. */
  static ConfigFile readUnder(String key, Path file, Set<String> known) throws IOException {
    return of(file.toString(), text(file), known, key);
  }

  /** Reads a recipe, a file that is part of the program. */
  static ConfigFile ofRecipe(String name, Set<String> known) throws IOException {
    String resource = name + ".yaml";
    try (InputStream in = ConfigFile.class.getResourceAsStream(resource)) {
      if (in == null) {
        throw new IOException(resource + " is missing in the program");
      }
      String text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
      return of("--recipe " + name, text, known, null);
    }
  }

  private static String text(Path file) throws IOException {
    InputFile.require(file);
    if (Files.size(file) > MAX_BYTES) {
      throw new IllegalArgumentException(
          "%s: found %d bytes, expected at most %d".formatted(file, Files.size(file), MAX_BYTES));
    }
    if (file.toString().endsWith(".json")) {
      JsonFields.read(file); // Knows better than a reader of YAML what is wrong with JSON.
    }
    return InputFile.text(file);
  }

  private static ConfigFile of(String file, String text, Set<String> known, String under) {
    Optional<Node> root;
    try {
      LoadSettings settings = LoadSettings.builder().setLabel(file).build();
      requireBounded(file, new Parse(settings).parseString(text));
      root = new Compose(settings).composeString(text);
    } catch (MarkedYamlEngineException e) {
      throw new IllegalArgumentException(file + place(e.getProblemMark()) + e.getProblem(), e);
    } catch (YamlEngineException e) {
      throw new IllegalArgumentException(file + ": no YAML 1.2: " + e.getMessage(), e);
    }
    Map<String, Value> values = new LinkedHashMap<>();
    if (root.isPresent()) {
      MappingNode mapping = mapping(file, root.get());
      if (under != null) {
        mapping = mapping(file, child(file, mapping, under));
      }
      for (NodeTuple tuple : mapping.getValue()) {
        String where = where(file, tuple.getKeyNode());
        String key =
            FamiliarNames.option(scalar(where, "key", tuple.getKeyNode()), known::contains);
        if (!known.contains(key)) {
          throw new IllegalArgumentException(
              "%s: unknown key '%s', expected %s"
                  .formatted(where, key, FamiliarNames.instead(key).orElse("one of " + known)));
        }
        Value value = new Value(value(where, key, tuple.getValueNode()), where);
        if (values.put(key, value) != null) {
          throw new IllegalArgumentException(where + ": key '" + key + "' is there twice");
        }
      }
    }
    return new ConfigFile(values);
  }

  /** What is composed out of a text may be far more than the text, and is composed by recursion. */
  private static void requireBounded(String file, Iterable<Event> events) {
    int depth = 0;
    for (Event event : events) {
      if (event instanceof CollectionStartEvent) {
        depth++;
      } else if (event instanceof CollectionEndEvent) {
        depth--;
      }
      if (event instanceof AliasEvent || depth > MAX_DEPTH) {
        String found = depth > MAX_DEPTH ? depth + " levels" : "an alias";
        throw new IllegalArgumentException(
            file
                + place(event.getStartMark())
                + "expected values without aliases, %d levels deep at most, found %s"
                    .formatted(MAX_DEPTH, found));
      }
    }
  }

  private static String place(Optional<Mark> mark) {
    return mark.map(m -> ", line %d, column %d".formatted(m.getLine() + 1, m.getColumn() + 1))
            .orElse("")
        + ": ";
  }

  private static MappingNode mapping(String file, Node node) {
    if (node instanceof MappingNode mapping) {
      return mapping;
    }
    throw new IllegalArgumentException(
        where(file, node) + ": expected keys with values, found " + kind(node));
  }

  private static Node child(String file, MappingNode mapping, String key) {
    return mapping.getValue().stream()
        .filter(
            tuple -> tuple.getKeyNode() instanceof ScalarNode name && name.getValue().equals(key))
        .map(NodeTuple::getValueNode)
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException(file + ": found no key '" + key + "'"));
  }

  private static String value(String where, String key, Node node) {
    if (node instanceof SequenceNode sequence) {
      List<String> items = new ArrayList<>();
      for (Node item : sequence.getValue()) {
        items.add(scalar(where, key, item));
      }
      return String.join(",", items);
    }
    return scalar(where, key, node);
  }

  private static String scalar(String where, String key, Node node) {
    if (node instanceof ScalarNode scalar && !scalar.getTag().equals(Tag.NULL)) {
      return scalar.getValue();
    }
    throw new IllegalArgumentException(
        "%s: '%s': expected a value or a list of values, found %s"
            .formatted(where, key, kind(node)));
  }

  private static String kind(Node node) {
    if (node instanceof MappingNode) {
      return "keys with values";
    }
    if (node instanceof SequenceNode) {
      return "a list";
    }
    return ((ScalarNode) node).getTag().equals(Tag.NULL) ? "nothing" : "a value";
  }

  private static String where(String file, Node node) {
    return file + ", line " + (node.getStartMark().map(Mark::getLine).orElse(0) + 1);
  }
}
