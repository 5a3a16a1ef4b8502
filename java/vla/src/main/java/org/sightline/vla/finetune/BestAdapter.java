package org.sightline.vla.finetune;

import com.google.gson.Gson;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.Evaluation;
import org.sightline.train.TrainingListener;
import org.sightline.train.checkpoint.Checkpointable;

/**
 * Keeps the adapter of the evaluation with the lowest action loss, the first of equal ones, in a
 * folder of its own.
 *
 * <p>Checkpoints hold its tensors: a run that goes on from an earlier step, perhaps on another
 * course, has the best of what it then was.
 */
final class BestAdapter implements TrainingListener, Checkpointable {
  /** Writes the adapter as it is now, with all that belongs to it. */
  @FunctionalInterface
  interface Writer {
    void write(Path folder) throws IOException;
  }

  private static final Gson GSON = new Gson();

  private record Progress(Double loss) {}

  private final Path folder;
  private final Writer writer;
  private Double loss; // null: none yet

  BestAdapter(Path folder, Writer writer) {
    this.folder = folder;
    this.writer = writer;
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    double found = evaluation.actionLoss();
    if (Double.isFinite(found) && (loss == null || found < loss)) {
      loss = found;
      write();
    }
  }

  private void write() {
    try {
      writer.write(folder);
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }

  @Override
  public String name() {
    return "best";
  }

  /** The tensors of every file, under {@code <file>/<name>}. */
  @Override
  public State state() {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    if (loss != null) {
      try (Stream<Path> list = Files.list(folder)) {
        for (Path path : list.filter(each -> each.toString().endsWith(".safetensors")).toList()) {
          try (Safetensors file = Safetensors.open(path)) {
            for (String name : file.names()) {
              tensors.put(path.getFileName() + "/" + name, file.tensor(name));
            }
          }
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }
    return new State(tensors, GSON.toJson(new Progress(loss)));
  }

  @Override
  public void restore(State state) {
    loss = GSON.fromJson(state.json(), Progress.class).loss;
    if (loss == null) {
      return;
    }
    write(); // What is no tensor is as ever.
    Map<String, Map<String, Tensor>> files = new LinkedHashMap<>();
    state
        .tensors()
        .forEach(
            (key, tensor) -> {
              int slash = key.indexOf('/');
              files
                  .computeIfAbsent(key.substring(0, slash), file -> new LinkedHashMap<>())
                  .put(key.substring(slash + 1), tensor);
            });
    try {
      for (Map.Entry<String, Map<String, Tensor>> file : files.entrySet()) {
        Safetensors.write(folder.resolve(file.getKey()), file.getValue(), Map.of("format", "pt"));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }
}
