package org.sightline.vla.finetune;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What alignment projectors are at the start of a run.
 *
 * @param fitSteps in which they are fitted to the base model; 0: random, as in the paper
 */
public record ProjectorInit(int fitSteps) {
  /** Drawn from the run's seed. */
  public static final ProjectorInit RANDOM = new ProjectorInit(0);

  /** Steps of a fit that does not say how many. */
  public static final int DEFAULT_STEPS = 300;

  /** How it is written. */
  public static final String FORM = "random|fitted[:STEPS]";

  private static final Pattern FITTED = Pattern.compile("fitted(?::(\\d{1,9}))?");

  public ProjectorInit {
    org.sightline.Checks.atLeast("fitSteps", fitSteps, 0);
  }

  /**
   * Reads {@code random}, {@code fitted} or {@code fitted:STEPS}.
   *
   * @throws IllegalArgumentException if it is none of them
   */
  public static ProjectorInit of(String text) {
    Matcher fitted = FITTED.matcher(text);
    if (text.equals("random")) {
      return RANDOM;
    }
    int steps =
        !fitted.matches()
            ? 0
            : fitted.group(1) == null ? DEFAULT_STEPS : Integer.parseInt(fitted.group(1));
    if (steps == 0) {
      throw new IllegalArgumentException(
          "projectorInit must be random, fitted or fitted:STEPS with STEPS of at least 1, found \""
              + text
              + "\"");
    }
    return new ProjectorInit(steps);
  }

  /** Whether they are fitted. */
  public boolean isFitted() {
    return fitSteps > 0;
  }

  @Override
  public String toString() {
    return isFitted() ? "fitted:" + fitSteps : "random";
  }
}
