package org.sightline.vla.cli;

import java.util.ArrayList;
import java.util.List;
import org.sightline.train.Evaluation;
import org.sightline.train.StepEvent;
import org.sightline.train.TrainingListener;

/** Remembers what a run reported, for tables and plots. */
final class RunHistory implements TrainingListener {
  private final List<StepEvent> steps = new ArrayList<>();
  private final List<Evaluation> evaluations = new ArrayList<>();

  @Override
  public void step(StepEvent event) {
    steps.add(event);
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    evaluations.add(evaluation);
  }

  List<StepEvent> steps() {
    return steps;
  }

  List<Evaluation> evaluations() {
    return evaluations;
  }
}
