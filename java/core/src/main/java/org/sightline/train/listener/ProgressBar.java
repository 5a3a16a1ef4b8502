package org.sightline.train.listener;

import java.io.Console;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.StringJoiner;
import org.sightline.formats.Printable;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.FineTuneResult;
import org.sightline.train.StepEvent;
import org.sightline.train.TrainingListener;

/**
 * Shows a run as it goes: on a terminal one line that is redrawn, elsewhere a plain line now and
 * then (some twenty in all), so that log files stay readable.
 *
 * <pre>
 * align  [=========>          ]  47/100  loss 1.2345  cos 0.321  3.4 it/s  ETA 0:16
 * </pre>
 */
public final class ProgressBar implements TrainingListener {
  private static final int WIDTH = 20;
  private static final int PLAIN_LINES = 20;
  private static final String CLEAR_LINE = "\r\u001b[K";

  private final PrintStream out;
  private final boolean terminal;
  private String mode;
  private int nextPlain;
  private double secondsPerStep;
  private boolean drawn;

  /**
   * @param terminal whether {@code out} is one: decides between redrawing and plain lines
   */
  public ProgressBar(PrintStream out, boolean terminal) {
    this.out = out;
    this.terminal = terminal;
  }

  /**
   * On standard error, beside whatever results a program prints; redrawn if the program runs in a
   * terminal and {@code TERM} is not dumb.
   */
  public static ProgressBar detect() {
    return new ProgressBar(System.err, isTerminal(System.console(), System.getenv("TERM")));
  }

  /**
   * Up to JDK 21 there is a console only at a terminal; since 22 there is always one, which has to
   * be asked, with a method that 17 does not know.
   */
  static boolean isTerminal(Console console, String term) {
    if (console == null || "dumb".equals(term)) {
      return false;
    }
    try {
      return (Boolean) Console.class.getMethod("isTerminal").invoke(console);
    } catch (NoSuchMethodException e) {
      return true;
    } catch (ReflectiveOperationException e) {
      return false;
    }
  }

  @Override
  public void resume(int step) {
    out.println("going on from the checkpoint of step " + step);
    out.flush();
  }

  @Override
  public void warning(String message) {
    leaveLine();
    out.println("warning: " + Printable.of(message));
    out.flush();
  }

  @Override
  public void begin(FineTuneConfig config, int trainedTensors, long trainedParameters) {
    mode = config.mode().name().toLowerCase(Locale.ROOT);
    nextPlain = 0;
    secondsPerStep = Double.NaN;
    drawn = false;
    out.println(
        format(
            "%s: %,d parameters in %,d tensors, %,d steps",
            mode, trainedParameters, trainedTensors, config.steps()));
    out.flush();
  }

  @Override
  public void step(StepEvent event) {
    // Smoothed, so that the estimate does not jump; the first steps are slow and soon forgotten.
    secondsPerStep =
        Double.isNaN(secondsPerStep)
            ? event.secondsPerStep()
            : 0.9 * secondsPerStep + 0.1 * event.secondsPerStep();
    if (terminal) {
      out.print(CLEAR_LINE + line(event));
      drawn = true;
    } else if (event.step() >= nextPlain || event.step() == event.totalSteps()) {
      out.println(line(event));
      nextPlain = event.step() + Math.max(1, event.totalSteps() / PLAIN_LINES);
    }
    out.flush();
  }

  private String line(StepEvent event) {
    StringJoiner parts = new StringJoiner("  ");
    parts.add(mode);
    if (terminal) {
      parts.add(bar((double) event.step() / event.totalSteps()));
    }
    parts.add(event.step() + "/" + event.totalSteps());
    parts.add(format("loss %.4f", event.totalLoss()));
    mean(event.cosine()).ifPresent(cosine -> parts.add(format("cos %.3f", cosine)));
    if (event.skippedSteps() > 0) {
      parts.add(event.skippedSteps() + " skipped, not finite");
    }
    parts.add(
        secondsPerStep < 1
            ? format("%.1f it/s", 1 / secondsPerStep)
            : format("%.1f s/it", secondsPerStep));
    long left = Math.round((event.totalSteps() - event.step()) * secondsPerStep);
    return parts.add("ETA " + duration(left)).toString();
  }

  private static String bar(double fraction) {
    int filled = (int) (fraction * WIDTH);
    String head = filled < WIDTH ? ">" + " ".repeat(WIDTH - filled - 1) : "";
    return "[" + "=".repeat(filled) + head + "]";
  }

  private static String duration(long seconds) {
    return seconds < 3600
        ? format("%d:%02d", seconds / 60, seconds % 60)
        : format("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  }

  private static OptionalDouble mean(Map<Integer, Double> cosine) {
    return cosine.values().stream().mapToDouble(Double::doubleValue).average();
  }

  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    StringJoiner parts = new StringJoiner("  ");
    parts.add(mode).add("evaluation at step " + evaluation.step());
    parts.add(format("action loss %.4f", evaluation.actionLoss()));
    mean(evaluation.cosine()).ifPresent(cosine -> parts.add(format("cos %.3f", cosine)));
    evaluation.metrics().forEach((name, value) -> parts.add(name + format(" %.4f", value)));
    out.println((drawn ? CLEAR_LINE : "") + parts);
    drawn = false;
    out.flush();
  }

  @Override
  public void end(FineTuneResult result) {
    leaveLine();
    String how =
        switch (result.end()) {
          case COMPLETED -> "done";
          case OUT_OF_DATA -> "out of data";
          case STOPPED -> "stopped";
          case INTERRUPTED -> "interrupted";
        };
    out.println(
        format(
            "%s: %s after %,d steps in %s%s",
            mode,
            how,
            result.steps(),
            duration(Math.round(result.seconds())),
            result.skippedSteps() > 0
                ? format(", %,d of them skipped: gradients not finite", result.skippedSteps())
                : ""));
    out.flush();
  }

  @Override
  public void failure(Throwable cause) {
    leaveLine();
    out.flush();
  }

  /** What comes next starts on a line of its own. */
  private void leaveLine() {
    if (drawn) {
      out.println();
      drawn = false;
    }
  }
}
