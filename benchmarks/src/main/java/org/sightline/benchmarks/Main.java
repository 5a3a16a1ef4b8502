package org.sightline.benchmarks;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * {@code java -jar benchmarks.jar ratios} writes the table of ratios; anything else is JMH's:
 * {@code java -jar benchmarks.jar Alignment -prof gc}, {@code -h} for its options.
 */
public final class Main {
  private static final List<String> COMMANDS = List.of("ratios", "worker");

  /** JMH's options that measure nothing. */
  private static final Set<String> ANSWERS = Set.of("-h", "-l", "-lp", "-lprof", "-lrf");

  private Main() {}

  @Command(
      name = "benchmarks",
      subcommands = {RatioTable.class, Worker.class})
  private static final class Commands {}

  /** Runs the command named first, or JMH. */
  public static void main(String[] arguments) throws IOException {
    if (arguments.length > 0 && COMMANDS.contains(arguments[0])) {
      System.exit(execute(arguments));
    }
    if (Arrays.stream(arguments).noneMatch(ANSWERS::contains)) {
      try {
        RivalKernels.requireTheirOwn(System.getenv());
      } catch (IllegalArgumentException e) {
        System.err.println(e.getMessage());
        System.exit(2);
      }
    }
    org.openjdk.jmh.Main.main(arguments);
  }

  /** Exit code: 0, 1 if measuring failed, 2 for wrong arguments. */
  static int execute(String... arguments) {
    CommandLine line = new CommandLine(new Commands());
    line.setExecutionExceptionHandler(
        (exception, command, parsed) -> {
          if (exception instanceof IllegalArgumentException) {
            command.getErr().println(exception.getMessage());
            return 2;
          }
          throw exception;
        });
    return line.execute(arguments);
  }
}
