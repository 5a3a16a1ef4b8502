package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.sightline.formats.FormatException;
import org.sightline.formats.Printable;
import org.sightline.train.DeviceLostException;
import org.sightline.train.TrainingDivergedException;
import org.sightline.train.TrainingMemoryException;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** Turns exceptions into one line for the user and an exit code. */
final class Errors {
  /** Exit code of a failure inside Sightline. */
  static final int INTERNAL = 1;

  /** Exit code of wrong usage or unusable input; the same as picocli's for a wrong option. */
  static final int USER = 2;

  /** An argument of the library: the subject of a message, or a name of several words in it. */
  private static final Pattern ARGUMENT =
      Pattern.compile(
          "^[a-z]+(?:[A-Z][a-z]+)*(?=: | must | needs | \\()|(?<=[ (])[a-z]+(?:[A-Z][a-z]+)+(?=[ ,:);])");

  /** Of a message: all tensors of a large model can be named, not all that a file may hold. */
  private static final int MOST_CHARACTERS = 100_000;

  private Errors() {}

  /** A command line that does not parse: the message, not a page of options. */
  static int usage(ParameterException e) {
    CommandLine command = e.getCommandLine();
    PrintWriter err = command.getErr();
    boolean noCommand = command.getParent() == null && e instanceof UnmatchedArgumentException;
    String problem =
        e instanceof UnmatchedArgumentException unmatched
            ? unmatched(unmatched, noCommand)
            : e.getMessage();
    err.println(command.getColorScheme().errorText("sightline: " + Printable.of(problem)));
    if (!noCommand) {
      err.println("\"" + command.getCommandSpec().qualifiedName() + " --help\" lists the options.");
    }
    err.flush();
    return USER;
  }

  /** What there is instead of what was not understood. */
  private static String unmatched(UnmatchedArgumentException e, boolean noCommand) {
    List<String> names = e.getUnmatched();
    String suggestion =
        FamiliarNames.commandFor(names.get(0))
            .filter(command -> noCommand)
            .or(() -> e.getSuggestions().stream().findFirst())
            .map(", did you mean %s?"::formatted)
            .orElse("");
    if (noCommand) {
      return "no command '%s'%s (there are %s)"
          .formatted(
              names.get(0),
              suggestion,
              String.join(", ", e.getCommandLine().getSubcommands().keySet()));
    }
    return e.getMessage()
        + names.stream()
            .flatMap(name -> FamiliarNames.instead(name).stream())
            .findFirst()
            .map("; "::concat)
            .orElse(suggestion);
  }

  static int report(Throwable error, CommandLine commandLine, boolean stacktrace) {
    if (error instanceof Ending.Asked) {
      return Ending.INTERRUPTED;
    }
    PrintWriter err = commandLine.getErr();
    if (stacktrace) {
      StringWriter trace = new StringWriter();
      error.printStackTrace(new PrintWriter(trace));
      err.println(Printable.lines(trace.toString()));
    }
    boolean user = isUserError(error);
    String message =
        user ? asOptions(printable(error), commandLine.getCommandSpec()) : printable(error);
    if (user && commandLine.getDefaultValueProvider() instanceof ConfigDefaults defaults) {
      message += defaults.origins(message, commandLine.getParseResult());
    }
    err.println(commandLine.getColorScheme().errorText("sightline: " + message));
    if (!user && !stacktrace) {
      err.println("This is an error inside Sightline; run again with --stacktrace to see where.");
    }
    err.flush();
    return user ? USER : INTERNAL;
  }

  /** The library speaks of its arguments, users have typed options. */
  private static String asOptions(String message, CommandSpec command) {
    String text =
        message
            .replace("Start.OVERWRITE", "--overwrite")
            .replace("Start.RESUME_CHANGED", "--accept-changes")
            .replace("Start.RESUME", "--resume");
    return ARGUMENT
        .matcher(text)
        .replaceAll(
            found -> {
              String name = found.group().replaceAll("[A-Z]", "-$0").toLowerCase(Locale.ROOT);
              String option =
                  "--" + FamiliarNames.option(name, n -> command.findOption("--" + n) != null);
              return Matcher.quoteReplacement(
                  command.findOption(option) == null ? found.group() : option);
            });
  }

  /** What the library throws for input it cannot use: its message says what to change. */
  private static boolean isUserError(Throwable error) {
    return error instanceof IllegalArgumentException
        || error instanceof IOException
        || error instanceof UncheckedIOException
        || error instanceof ParameterException
        || error instanceof UnsatisfiedLinkError && error.getCause() != null // Of the machine.
        || error instanceof TrainingDivergedException
        || TrainingMemoryException.isOutOfMemory(error)
        || error instanceof TrainingMemoryException
        || error instanceof DeviceLostException
        || DeviceLostException.isLost(error)
        || error instanceof OutOfMemoryError;
  }

  /** Lines of its own have only what is made of printable ones, and what is not of any input. */
  private static String printable(Throwable error) {
    if (error instanceof UncheckedIOException unchecked && unchecked.getCause() != null) {
      return printable(unchecked.getCause());
    }
    String message = message(error);
    if (message.length() > MOST_CHARACTERS) {
      message = message.substring(0, MOST_CHARACTERS) + "… and more";
    }
    return error instanceof FormatException || error instanceof LinkageError
        ? Printable.lines(message)
        : Printable.of(message);
  }

  private static String message(Throwable error) {
    if (error instanceof NoSuchFileException missing) {
      return missing.getFile() + ": no such file or folder";
    }
    if (error instanceof AccessDeniedException denied) {
      return denied.getFile() + ": permission denied";
    }
    if (error instanceof InvalidPathException path) {
      return TextEncoding.explain(path);
    }
    if (error instanceof OutOfMemoryError) {
      return "the Java heap is too small ("
          + error.getMessage()
          + "): lower --batch-size, or start java with a larger -Xmx";
    }
    if (error.getClass() == RuntimeException.class
        && TrainingMemoryException.isOutOfMemory(error)) { // The rest is a trace of libtorch.
      return "memory ran out: " + error.getMessage().lines().findFirst().orElseThrow();
    }
    if (error instanceof TrainingDivergedException) {
      return error.getMessage() + " (--lr, --clip, --dtype float32)";
    }
    if (error instanceof FileSystemException file) {
      String reason = file.getReason() == null ? "cannot be used" : file.getReason();
      return file.getFile() + ": " + reason + " (" + file.getClass().getSimpleName() + ")";
    }
    return error.getMessage() == null ? error.toString() : error.getMessage();
  }
}
