package org.sightline.train.checkpoint;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.checkpoint.Checkpointable.State;

/** The parts of a run as the files of a folder; one part at a time is held in memory. */
final class CheckpointParts {
  private static final Pattern NAME = Pattern.compile("[a-z0-9_-]+");
  private static final String JSON = "state.json";
  private static final String TENSORS = ".safetensors";

  private CheckpointParts() {}

  /** Whether a file of a checkpoint's folder is one that {@link #read} reads. */
  static boolean isRead(Path file) {
    String name = file.getFileName().toString();
    return (name.equals(JSON) || name.endsWith(TENSORS)) && Files.isRegularFile(file);
  }

  /** By name, in order. */
  static Map<String, Checkpointable> byName(List<? extends Checkpointable> parts) {
    Map<String, Checkpointable> named = new LinkedHashMap<>();
    for (Checkpointable part : parts) {
      String name = part.name();
      if (!NAME.matcher(name).matches()) {
        throw new IllegalArgumentException(
            "a part's name must match %s, found '%s'".formatted(NAME.pattern(), name));
      }
      if (named.put(name, part) != null) {
        throw new IllegalArgumentException(
            "names of parts must be distinct, found '" + name + "' twice");
      }
    }
    return named;
  }

  /** Writes {@code <part>.safetensors} for each that has tensors, and one file of all JSON. */
  static void write(Path folder, Map<String, Checkpointable> parts) throws IOException {
    JsonObject json = new JsonObject();
    for (Map.Entry<String, Checkpointable> part : parts.entrySet()) {
      try (PointerScope scope = new PointerScope()) {
        State state = part.getValue().state();
        if (!state.tensors().isEmpty()) {
          Path file = folder.resolve(part.getKey() + TENSORS);
          Safetensors.write(file, state.tensors(), Map.of());
        }
        json.add(part.getKey(), JsonParser.parseString(state.json()));
      }
    }
    AtomicFile.writeText(folder.resolve(JSON), json + "\n");
  }

  /**
   * Hands every part its state.
   *
   * @param begunAnew told of parts that may begin anew and whose state is another run's; null: none
   *     may
   * @throws IllegalArgumentException if a part was not saved, or its state does not fit
   */
  static void read(
      Path folder, Map<String, Checkpointable> parts, Consumer<? super String> begunAnew)
      throws IOException {
    JsonObject json = JsonFields.read(folder.resolve(JSON)).json();
    for (Map.Entry<String, Checkpointable> part : parts.entrySet()) {
      JsonElement text = json.get(part.getKey());
      if (text == null) {
        throw new IllegalArgumentException(
            "%s must hold the part '%s', found %s".formatted(folder, part.getKey(), json.keySet()));
      }
      try (PointerScope scope = new PointerScope()) {
        Map<String, Tensor> tensors = tensors(folder.resolve(part.getKey() + TENSORS));
        part.getValue().restore(new State(tensors, text.toString()));
      } catch (IllegalArgumentException e) {
        if (begunAnew == null || !part.getValue().mayBeginAnew()) {
          throw e;
        }
        begunAnew.accept(part.getKey() + " begins anew: " + e.getMessage());
      }
    }
  }

  private static Map<String, Tensor> tensors(Path file) throws IOException {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    if (Files.exists(file)) {
      try (Safetensors stored = Safetensors.open(file)) {
        stored.requireMemory();
        for (String name : stored.names()) {
          tensors.put(name, stored.tensor(name));
        }
      }
    }
    return tensors;
  }
}
