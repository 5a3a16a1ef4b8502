package org.sightline.vla.data.text;

import java.util.Arrays;
import java.util.Locale;
import java.util.OptionalLong;

/**
 * The prompt of OpenVLA and of the paper:
 *
 * <pre>
 * In: What action should the robot take to {instruction, lower-cased}?
 * Out:
 * </pre>
 *
 * followed in training by the 7 action ids and EOS. A Llama tokenizer puts the piece "▁" (29871)
 * for the space after "Out:"; the model was trained with it, so it is appended when missing, and
 * training and inference have the same prefix.
 */
public final class Prompt {
  private Prompt() {}

  /** The text of the prompt, up to and including "Out:". */
  public static String text(String instruction) {
    return "In: What action should the robot take to "
        + instruction.toLowerCase(Locale.ROOT)
        + "?\nOut:";
  }

  /** The ids that precede the action: BOS, the text, and "▁" where the vocabulary has it. */
  public static long[] ids(PromptTokenizer tokenizer, String instruction) {
    long[] ids = tokenizer.encode(text(instruction));
    OptionalLong wordStart = tokenizer.wordStartId();
    if (wordStart.isEmpty() || ids[ids.length - 1] == wordStart.getAsLong()) {
      return ids;
    }
    long[] extended = Arrays.copyOf(ids, ids.length + 1);
    extended[ids.length] = wordStart.getAsLong();
    return extended;
  }
}
