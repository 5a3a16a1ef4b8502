package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.sightline.formats.Printable;
import org.sightline.formats.file.InputFile;
import org.sightline.vla.cli.ConfigFile.Value;
import org.sightline.vla.finetune.RunFile;
import picocli.CommandLine;
import picocli.CommandLine.IDefaultValueProvider;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/**
 * Values for options that the command line leaves out: those of {@code --resume}'s run, or of
 * {@code --config}'s file, then those of the {@code --recipe}.
 */
final class ConfigDefaults implements IDefaultValueProvider {
  /** Recipes that can be named. */
  static final List<String> RECIPES = List.of("blindvla");

  /** Not part of a run's settings: where these come from, or what to do besides. */
  private static final Set<String> NO_SETTINGS =
      Set.of(
          "config",
          "recipe",
          "resume",
          "accept-changes",
          "overwrite",
          "json",
          "help",
          "version",
          "stacktrace");

  private final Map<String, Value> values = new TreeMap<>();
  private boolean shown;

  private ConfigDefaults() {}

  /** What has to be known before the rest of the command line makes sense. */
  private static final class Sources {
    @Option(names = "--config")
    private Path config;

    @Option(names = "--recipe")
    private String recipe;

    @Option(names = "--resume")
    private Path resume;

    @Option(names = {"-h", "--help"})
    private boolean help;
  }

  /**
   * Gives a command its values.
   *
   * @param arguments of the command
   * @throws IllegalArgumentException if a file or recipe cannot be used
   */
  static void install(CommandLine command, String... arguments) throws IOException {
    Sources sources = new Sources();
    new CommandLine(sources)
        .setExpandAtFiles(false)
        .setUnmatchedArgumentsAllowed(true)
        .setUnmatchedOptionsArePositionalParams(false)
        .parseArgs(arguments);
    ConfigDefaults defaults = new ConfigDefaults();
    defaults.shown = sources.help;
    // A file for finetune is one for all commands that take its options.
    Set<String> known = settings(CommandSpec.forAnnotatedObject(new FineTuneCommand()));
    if (sources.resume != null && command.getCommandSpec().findOption("--resume") != null) {
      if (sources.config != null || sources.recipe != null) {
        throw new IllegalArgumentException(
            "--resume takes all settings from its folder: --config and --recipe cannot be given");
      }
      Path file = sources.resume.resolve(RunFile.NAME);
      if (!InputFile.exists(file)) {
        throw new IllegalArgumentException(
            "--resume: %s holds no %s, expected the folder of an earlier run"
                .formatted(sources.resume, RunFile.NAME));
      }
      defaults.values.putAll(ConfigFile.readUnder("options", file, known).values());
      // The folder may have been moved.
      defaults.values.put("output", new Value(sources.resume.toString(), "--resume"));
    }
    if (sources.recipe != null) {
      if (!RECIPES.contains(sources.recipe)) {
        throw new IllegalArgumentException(
            "--recipe must be one of %s, found %s".formatted(RECIPES, sources.recipe));
      }
      defaults.values.putAll(ConfigFile.ofRecipe(sources.recipe, known).values());
    }
    if (sources.config != null) {
      defaults.values.putAll(ConfigFile.read(sources.config, known).values());
    }
    command.setDefaultValueProvider(defaults);
    CommandLine root = command;
    while (root.getParent() != null) {
      root = root.getParent();
    }
    IParameterExceptionHandler handler = root.getParameterExceptionHandler();
    root.setParameterExceptionHandler(
        (e, args) -> handler.handleParseException(defaults.located(e, args), args));
  }

  /** The options that make up a run, by name without dashes. */
  static Set<String> settings(CommandSpec spec) {
    Set<String> names = new TreeSet<>();
    spec.options().forEach(option -> names.add(name(option)));
    names.removeAll(NO_SETTINGS);
    return names;
  }

  static String name(OptionSpec option) {
    return option.longestName().replaceFirst("^--?", "");
  }

  @Override
  public String defaultValue(ArgSpec argument) {
    Value value = argument instanceof OptionSpec option ? values.get(name(option)) : null;
    if (value == null) {
      return null;
    }
    // Values stand for themselves: picocli would put variables of the system in the place of ${…},
    // and in its help colours in that of @|…|@.
    return shown
        ? Printable.of(value.text()).replace("@|", "@\\u007c")
        : value.text().replace("$", "$$");
  }

  /**
   * Where the values that an error speaks of come from, unless the command line gives them.
   *
   * @return in parentheses, or empty
   */
  String origins(String message, ParseResult given) {
    return values.entrySet().stream()
        .filter(value -> message.matches("(?s).*--" + value.getKey() + "(?![\\w-]).*"))
        .filter(value -> !given.hasMatchedOption("--" + value.getKey()))
        .map(value -> "--%s is from %s".formatted(value.getKey(), value.getValue().where()))
        .collect(
            Collectors.collectingAndThen(
                Collectors.joining(", "), text -> text.isEmpty() ? "" : " (" + text + ")"));
  }

  /** Says where a value came from that is not on the command line. */
  private ParameterException located(ParameterException e, String... arguments) {
    if (!(e.getArgSpec() instanceof OptionSpec option) || !values.containsKey(name(option))) {
      return e;
    }
    for (String argument : arguments) {
      if (argument.equals(option.longestName())
          || argument.startsWith(option.longestName() + "=")) {
        return e;
      }
    }
    String where = values.get(name(option)).where();
    return new ParameterException(
        e.getCommandLine(), where + ": " + e.getMessage(), e, option, e.getValue());
  }
}
