package org.sightline.vla.policy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;

/**
 * What a policy wants the robot to do.
 *
 * @param values in the data's units (metres, radians, gripper), named by {@link Step#ACTION_NAMES}
 * @param normalized the same in [-1, 1]
 * @param tokens ids that the model said
 * @param unsaid the dimensions for which that was no action: they are at an end of their range
 */
public record Action(float[] values, float[] normalized, long[] tokens, List<String> unsaid) {
  /**
   * The action of a model's tokens.
   *
   * @throws IllegalArgumentException if none of them stands for an action
   */
  public static Action of(long[] tokens, ActionTokenizer actions, ActionStatistics statistics) {
    List<String> unsaid = new ArrayList<>();
    for (int i = 0; i < tokens.length; i++) {
      if (!actions.isAction(tokens[i])) {
        unsaid.add(Step.ACTION_NAMES.get(i));
      }
    }
    if (unsaid.size() == tokens.length) {
      throw new IllegalArgumentException(
          "the model answered without an action: found the tokens %s, expected ids from %d to %d;"
                  .formatted(Arrays.toString(tokens), actions.firstId(), actions.lastId())
              + " was it trained on such prompts, and is the adapter its own?");
    }
    float[] normalized = actions.decode(tokens);
    return new Action(statistics.denormalize(normalized), normalized, tokens, unsaid);
  }
}
