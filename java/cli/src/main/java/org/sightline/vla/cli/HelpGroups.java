package org.sightline.vla.cli;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Help;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.UsageMessageSpec;

/** The options of a command in its help, each group of them under a heading. */
final class HelpGroups {
  private static final Map<Class<?>, String> HEADINGS =
      Map.of(
          DataOptions.class, "Data",
          ModelOptions.class, "Base model",
          PolicyOptions.class, "Policy",
          AlignmentOptions.class, "Teacher and alignment",
          TrainingOptions.class, "Training",
          RunOptions.class, "Evaluation, logs and checkpoints");

  private HelpGroups() {}

  /** For a command and those under it. */
  static void install(CommandLine command) {
    command.getHelpSectionMap().put(UsageMessageSpec.SECTION_KEY_OPTION_LIST, HelpGroups::render);
    command.getSubcommands().values().forEach(HelpGroups::install);
  }

  private static String render(Help help) {
    Map<String, List<OptionSpec>> groups = new LinkedHashMap<>();
    groups.put("", new ArrayList<>()); // The command's own, first.
    for (OptionSpec option : help.commandSpec().options()) {
      Class<?> owner =
          option.userObject() instanceof Field field ? field.getDeclaringClass() : Object.class;
      groups
          .computeIfAbsent(HEADINGS.getOrDefault(owner, ""), heading -> new ArrayList<>())
          .add(option);
    }
    StringBuilder text = new StringBuilder();
    groups.forEach(
        (heading, options) -> {
          if (!heading.isEmpty()) {
            text.append(System.lineSeparator()).append(heading).append(System.lineSeparator());
          }
          text.append(help.optionListExcludingGroups(options));
        });
    return text.toString();
  }
}
