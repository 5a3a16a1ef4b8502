package org.sightline.train.listener;

import com.google.gson.Gson;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import org.sightline.Checks;
import org.sightline.train.Evaluation;
import org.sightline.train.TrainingListener;
import org.sightline.train.checkpoint.Checkpointable;

/**
 * Ends a run once its evaluations have not got better for a while. A value that is not finite is
 * not better than any.
 */
public final class EarlyStopping implements TrainingListener, Checkpointable {
  /** Which way is better. */
  public enum Goal {
    /** As for a loss. */
    LOWER,
    /** As for an accuracy. */
    HIGHER
  }

  private static final Gson GSON = new Gson();

  private record Progress(Double best, int bestStep, int waited) {}

  private final String metric;
  private final Goal goal;
  private final int patience;
  private final double minDelta;
  private Double best;
  private int bestStep;
  private int waited;

  /**
   * @param metric {@code action_loss}, {@code alignment_loss} or a metric of the policy
   * @param patience evaluations in a row that may be no better than the best before; one more ends
   *     the run; ≥ 0
   * @param minDelta by how much a value must be better to count, ≥ 0
   */
  public EarlyStopping(String metric, Goal goal, int patience, double minDelta) {
    this.metric = Objects.requireNonNull(metric, "metric");
    this.goal = Objects.requireNonNull(goal, "goal");
    this.patience = patience;
    this.minDelta = minDelta;
    Checks.atLeast("patience", patience, 0);
    Checks.notNegative("minDelta", minDelta);
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    double value = value(evaluation);
    if (Double.isFinite(value) && (best == null || gain(value) > minDelta)) {
      best = value;
      bestStep = evaluation.step();
      waited = 0;
    } else {
      waited++;
    }
  }

  private double value(Evaluation evaluation) {
    return switch (metric) {
      case "action_loss" -> evaluation.actionLoss();
      case "alignment_loss" -> evaluation.alignmentLoss().orElse(Double.NaN);
      default -> {
        Double value = evaluation.metrics().get(metric);
        if (value == null) {
          throw new IllegalArgumentException(
              ("early stopping's metric must be action_loss, alignment_loss or one of %s,"
                      + " found %s")
                  .formatted(evaluation.metrics().keySet(), metric));
        }
        yield value;
      }
    };
  }

  private double gain(double value) {
    return goal == Goal.LOWER ? best - value : value - best;
  }

  @Override
  public boolean stopRequested() {
    return waited > patience;
  }

  /** Why the run was ended; empty if it was not. */
  public Optional<String> reason() {
    return stopRequested()
        ? Optional.of(
            String.format(
                Locale.ROOT,
                "%s has not got better in %d evaluations; %s",
                metric,
                waited,
                best == null ? "it never was finite" : "best " + best + " at step " + bestStep))
        : Optional.empty();
  }

  @Override
  public String name() {
    return "early-stopping";
  }

  @Override
  public State state() {
    return State.ofJson(GSON.toJson(new Progress(best, bestStep, waited)));
  }

  @Override
  public void restore(State state) {
    Progress progress = GSON.fromJson(state.json(), Progress.class);
    best = progress.best;
    bestStep = progress.bestStep;
    waited = progress.waited;
  }
}
