package org.sightline.train.checkpoint;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.sightline.autograd.HasRngState;

/**
 * The positions of several sources of random numbers, such as the dropout of a policy's layers.
 *
 * @param name of the part
 * @param sources by name
 */
public record RandomPositions(String name, Map<String, ? extends HasRngState> sources)
    implements Checkpointable {
  private static final Gson GSON = new Gson();
  private static final TypeToken<LinkedHashMap<String, Long>> POSITIONS = new TypeToken<>() {};

  /** Copies the map. */
  public RandomPositions {
    sources = Collections.unmodifiableMap(new LinkedHashMap<>(sources));
  }

  @Override
  public State state() {
    Map<String, Long> positions = new LinkedHashMap<>();
    sources.forEach((key, source) -> positions.put(key, source.rngState()));
    return State.ofJson(GSON.toJson(positions));
  }

  @Override
  public void restore(State state) {
    Map<String, Long> positions = GSON.fromJson(state.json(), POSITIONS);
    TensorsPart.requireSame(name, "sources", positions.keySet(), sources.keySet());
    sources.forEach((key, source) -> source.setRngState(positions.get(key)));
  }
}
