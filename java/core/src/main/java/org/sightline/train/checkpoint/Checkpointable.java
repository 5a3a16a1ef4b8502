package org.sightline.train.checkpoint;

import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;

/**
 * A part of a run that a checkpoint saves and a resumed run gets back exactly: model weights,
 * optimizer, random numbers, the position in the data.
 *
 * <p>A stream of batches that is given to {@code FineTuner.fit} and implements this is saved with
 * every checkpoint. Both methods are called on the thread that trains, never in the middle of an
 * optimizer step.
 */
public interface Checkpointable {
  /**
   * What is saved.
   *
   * @param tensors by name, of any dtype safetensors can hold; copies or the live tensors
   *     themselves, which are only read
   * @param json a JSON object with everything that is not a tensor, {@code {}} for nothing; given
   *     back with the same keys and values, numbers to the digit
   */
  record State(Map<String, Tensor> tensors, String json) {
    /**
     * Checks the text.
     *
     * @throws IllegalArgumentException if it is not a JSON object
     */
    public State {
      tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
      Objects.requireNonNull(json, "json");
      JsonElement parsed;
      try {
        parsed = JsonParser.parseString(json);
      } catch (JsonParseException e) {
        throw new IllegalArgumentException("json must be a JSON object, found " + json, e);
      }
      if (!parsed.isJsonObject()) {
        throw new IllegalArgumentException("json must be a JSON object, found " + json);
      }
    }

    /** A state without tensors. */
    public static State ofJson(String json) {
      return new State(Map.of(), json);
    }
  }

  /**
   * Names the part's files in a checkpoint: lower-case letters, digits, {@code _} and {@code -}.
   */
  String name();

  /**
   * The state at this moment. For a stream of batches: that of the batches handed out so far,
   * whatever has been read ahead, so that the restored stream's next batch is the one that would
   * have come next.
   *
   * <p>Tensors made for the call belong to the innermost open {@code PointerScope}; the caller has
   * one open and writes the state before it ends.
   */
  State state();

  /**
   * Takes a state over, bit for bit. Called before the part is used in the resumed run.
   *
   * @param state as {@link #state} gave it; its tensors are on the CPU and live for the call only
   * @throws IllegalArgumentException if it does not fit this part (another shape, another dataset):
   *     names what was found and what was expected
   */
  void restore(State state);

  /**
   * Whether a run whose changes were accepted may go on without this part's state if that does not
   * fit any more: other data have another order, which begins at its start.
   */
  default boolean mayBeginAnew() {
    return false;
  }
}
