package org.sightline.train.checkpoint;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.sightline.autograd.HasRngState;

/**
 * The RNG states of several sources of random numbers, such as the dropout of a policy's layers.
 *
 * @param name of the part
 * @param sources by name
 */
public record RandomPositions(String name, Map<String, ? extends HasRngState> sources)
    implements Checkpointable {
  private static final Gson GSON = new Gson();
  private static final TypeToken<LinkedHashMap<String, Long>> STATES = new TypeToken<>() {};

  public RandomPositions {
    sources = Collections.unmodifiableMap(new LinkedHashMap<>(sources));
  }

  @Override
  public State state() {
    Map<String, Long> states = new LinkedHashMap<>();
    sources.forEach((key, source) -> states.put(key, source.rngState()));
    return State.ofJson(GSON.toJson(states));
  }

  @Override
  public void restore(State state) {
    Map<String, Long> states = GSON.fromJson(state.json(), STATES);
    TensorsPart.requireSame(name, "sources", states.keySet(), sources.keySet());
    sources.forEach((key, source) -> source.setRngState(states.get(key)));
  }
}
