package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import org.sightline.Sightline;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** Entry point of the command line: {@code java -jar sightline.jar COMMAND}. */
@Command(
    name = "sightline",
    description = {
      "LoRA fine-tuning of vision-language-action models with visual alignment.",
      "The method is that of \"Don't Blind Your VLA\" (arXiv 2510.25616)."
    },
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    subcommands = {
      DoctorCommand.class,
      FineTuneCommand.class,
      EvalCommand.class,
      ActCommand.class,
      ServeCommand.class,
      StudyCommand.class,
      InspectCommand.class,
      PlanCommand.class,
      SchemaCommand.class,
      ExportCommand.class
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:done",
      "1:an error inside Sightline (--stacktrace shows where)",
      "2:wrong usage, input that cannot be used, or too little memory or disk",
      "130:interrupted (Control-C); finetune --resume goes on",
      "141:nobody read the result: standard output was closed",
      "143:ended by SIGTERM; finetune --resume goes on"
    })
public final class Main implements Runnable {
  @Spec private CommandSpec spec;

  @Option(
      names = "--stacktrace",
      scope = ScopeType.INHERIT,
      description = "Print the full stack trace of an error.")
  private boolean stacktrace;

  private Main() {}

  public static void main(String[] args) {
    var out = new PrintWriter(System.out, true, StandardCharsets.UTF_8);
    var err = new PrintWriter(System.err, true, StandardCharsets.UTF_8);
    System.exit(Ending.of(() -> execute(out, err, args)));
  }

  /** Runs one command and returns its exit code; nothing is thrown. */
  static int execute(PrintWriter out, PrintWriter err, String... args) {
    // Before AWT asks: no window is opened, and a display that is named but gone must not be tried.
    System.setProperty("java.awt.headless", "true");
    return StandardOutput.check(out, err, run(out, err, args));
  }

  private static int run(PrintWriter out, PrintWriter err, String... args) {
    Main main = new Main();
    CommandLine line =
        new CommandLine(main)
            .setCommandName(Launcher.command())
            .registerConverter(Path.class, TextEncoding::path)
            .setExpandAtFiles(false)
            .setOut(out)
            .setErr(err)
            .setCaseInsensitiveEnumValuesAllowed(true)
            .setParameterExceptionHandler((e, unused) -> Errors.usage(e))
            .setExecutionExceptionHandler(
                (e, commandLine, parsed) -> Errors.report(e, commandLine, main.stacktrace));
    HelpGroups.install(line);
    String[] arguments = FamiliarNames.translate(line, args);
    CommandLine command = line.getSubcommands().get(FamiliarNames.command(args));
    try {
      TextEncoding.requireWhole(args);
      if (command != null && command.getCommandSpec().findOption("--config") != null) {
        ConfigDefaults.install(command, arguments);
      }
    } catch (IOException | RuntimeException e) {
      return Errors.report(
          e, command == null ? line : command, Arrays.asList(args).contains("--stacktrace"));
    }
    try {
      return line.execute(arguments);
    } catch (Error e) { // Which picocli lets pass: too small a heap, natives that are missing.
      return Errors.report(e, line, main.stacktrace);
    }
  }

  @Override
  public void run() {
    spec.commandLine().usage(spec.commandLine().getErr()); // Short: what commands there are.
    throw new ParameterException(spec.commandLine(), "Missing command.");
  }

  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      return new String[] {
        "sightline %s, commit %s".formatted(Sightline.version(), Sightline.commit())
      };
    }
  }
}
