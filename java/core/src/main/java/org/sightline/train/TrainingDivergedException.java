package org.sightline.train;

/**
 * A run was ended because it no longer learns; the message says what was found and what to lower.
 * {@link FineTuner#fit} fails so when
 *
 * <ul>
 *   <li>the loss of an evaluation is not finite, or that of training steps none of which had to be
 *       skipped;
 *   <li>ten more steps were skipped than taken since there were as many of both, looked at with
 *       every {@link StepEvent}; or more than half of all steps, at the end;
 *   <li>a trained tensor is not finite when a checkpoint is due, or at the end.
 * </ul>
 *
 * <p>Single skipped steps are no failure. What the policy holds then is of no use. The newest
 * checkpoint stays, unless no step that came after it was taken: its weights are those that
 * diverged, so it is set aside and a resumed run goes on from the one before, or from the start.
 */
public final class TrainingDivergedException extends Exception {
  private static final long serialVersionUID = 1L;

  TrainingDivergedException(String message) {
    super(message);
  }
}
