package org.sightline.vla.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.RunFile;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Spec;

/** {@code sightline schema}: what a file for {@code finetune --config} may hold. */
@Command(
    name = "schema",
    description = "Print the JSON Schema (draft 2020-12) of the files that --config takes.",
    mixinStandardHelpOptions = true,
    usageHelpAutoWidth = true)
final class SchemaCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Override
  public Integer call() {
    spec.commandLine().getOut().println(Inspection.json(schema()));
    spec.commandLine().getOut().flush();
    return 0;
  }

  private static Map<String, Object> schema() {
    Map<String, Object> schema = new LinkedHashMap<>();
    schema.put("$schema", "https://json-schema.org/draft/2020-12/schema");
    schema.put("title", "sightline finetune --config");
    schema.put("type", "object");
    schema.put("properties", properties());
    schema.put("additionalProperties", false);
    return schema;
  }

  /** By setting. */
  static Map<String, Object> properties() {
    CommandSpec finetune = CommandSpec.forAnnotatedObject(new FineTuneCommand());
    Set<String> settings = ConfigDefaults.settings(finetune);
    Map<String, Object> defaults = RunFile.settings(JobConfig.builder(Path.of("")).build());
    Map<String, Object> properties = new TreeMap<>();
    for (OptionSpec option : finetune.options()) {
      String name = ConfigDefaults.name(option);
      if (settings.contains(name)) {
        properties.put(name, property(option, defaults.get(name)));
      }
    }
    return properties;
  }

  private static Map<String, Object> property(OptionSpec option, Object byDefault) {
    Map<String, Object> property = new LinkedHashMap<>();
    Class<?> type = option.isMultiValue() ? option.auxiliaryTypes()[0] : option.type();
    List<Map<String, Object>> forms = new ArrayList<>();
    forms.add(value(type));
    if (option.isMultiValue()) { // The command line's form, or a list.
      forms.add(Map.of("type", "array", "items", value(type)));
      forms.add(Map.of("type", "string"));
      property.put("anyOf", forms);
    } else {
      property.putAll(forms.get(0));
    }
    property.put("description", String.join(" ", option.description()).replace("%%", "%"));
    if (byDefault != null && !(byDefault instanceof Path)) {
      property.put("default", plain(byDefault));
    }
    return property;
  }

  private static Map<String, Object> value(Class<?> type) {
    if (type.isEnum()) {
      return Map.of("type", "string", "enum", names(type));
    }
    boolean whole =
        type == int.class || type == long.class || type == Integer.class || type == Long.class;
    return Map.of(
        "type",
        type == boolean.class || type == Boolean.class
            ? "boolean"
            : whole ? "integer" : type == double.class ? "number" : "string");
  }

  private static List<String> names(Class<?> type) {
    return type.isEnum()
        ? List.of(type.getEnumConstants()).stream().map(SchemaCommand::name).toList()
        : List.of();
  }

  private static String name(Object constant) {
    return ((Enum<?>) constant).name().toLowerCase(Locale.ROOT);
  }

  private static Object plain(Object value) {
    if (value instanceof Collection<?> items) {
      return items.stream().map(SchemaCommand::plain).toList();
    }
    return value instanceof Enum<?> constant ? name(constant) : value;
  }
}
