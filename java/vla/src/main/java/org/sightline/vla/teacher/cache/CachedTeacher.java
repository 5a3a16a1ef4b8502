package org.sightline.vla.teacher.cache;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.Finite;
import org.sightline.binding.Scopes;
import org.sightline.train.Teacher;
import org.sightline.vla.data.image.ImageKey;
import org.sightline.vla.data.loader.VlaBatch;

/**
 * A teacher that is asked only for pictures it has not seen yet.
 *
 * <p>A batch with a new picture goes through the teacher whole, and only its new pictures' features
 * are stored: with views that come round in turn ({@code VlaDataLoader.Options.views}) batches are
 * nearly always all new or all old, so the teacher never costs more than without a cache.
 *
 * <p>libtorch's products round differently with the number of rows and a row's place among them. A
 * picture's features are therefore those of the batch in which it first came, rounded to bf16, and
 * are on the disk before that batch is trained on. A run that was killed and resumed replays its
 * batches whole, so it sees the same bits as one that was not.
 *
 * <p>Batches without image keys are not cached. Not thread-safe.
 */
public final class CachedTeacher implements Teacher<VlaBatch> {
  /**
   * How the cache served so far.
   *
   * @param hits pictures whose features were there
   * @param misses pictures whose features were not
   * @param asked pictures that went through the teacher: the misses and their neighbours
   * @param unkeyed pictures that cannot be cached
   * @param damaged entries found damaged, and computed anew
   */
  public record Counters(long hits, long misses, long asked, long unkeyed, long damaged) {
    /** Share of the pictures with keys that were hits; 0 if there was none. */
    public double hitRate() {
      return hits + misses == 0 ? 0 : (double) hits / (hits + misses);
    }
  }

  private final Teacher<VlaBatch> teacher;
  private final FeatureStore store;
  private final ScalarType type;
  private long hits;
  private long misses;
  private long asked;
  private long unkeyed;

  /**
   * A cache in front of a teacher.
   *
   * @param teacher closed with this
   * @param store holds this teacher's features of just these pixels; closed with this
   * @param dtype of the features given
   */
  public CachedTeacher(Teacher<VlaBatch> teacher, FeatureStore store, DType dtype) {
    if (teacher.width() != store.kind().width()) {
      throw new IllegalArgumentException(
          "store must have the teacher's width %s, found %s"
              .formatted(teacher.width(), store.kind().width()));
    }
    this.teacher = teacher;
    this.store = store;
    this.type = dtype == DType.BFLOAT16 ? ScalarType.BFloat16 : ScalarType.Float;
  }

  /** How the cache served so far. */
  public Counters counters() {
    return new Counters(hits, misses, asked, unkeyed, store.damaged());
  }

  /** Where features are kept. */
  public FeatureStore store() {
    return store;
  }

  @Override
  public long width() {
    return teacher.width();
  }

  @Override
  public Tensor features(VlaBatch batch) {
    return Scopes.withoutGradient(() -> Scopes.scoped(() -> lookUp(batch)));
  }

  private Tensor lookUp(VlaBatch batch) {
    List<ImageKey> keys = batch.images();
    if (keys.isEmpty()) {
      unkeyed += batch.size();
      return teacher.features(batch).to(ScalarType.BFloat16).to(type);
    }
    FeatureKind kind = store.kind();
    Tensor all =
        torch.empty(
            new long[] {keys.size(), kind.tokens(), kind.width()},
            new TensorOptions(ScalarType.BFloat16),
            null);
    ByteBuffer target = bytes(all);
    List<Integer> missing = new ArrayList<>();
    try {
      for (int row = 0; row < keys.size(); row++) {
        ByteBuffer entry = store.get(keys.get(row));
        if (entry == null) {
          missing.add(row);
        } else {
          row(target, row).put(entry);
        }
      }
      if (!missing.isEmpty()) {
        compute(batch, missing, target);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
    hits += keys.size() - missing.size();
    misses += missing.size();
    // What was stored may not be: the teacher's weights or its images were not then.
    Finite.require("teacher features in " + store.folder(), all);
    return Device.of(batch.pixelValues()).move(all.to(type));
  }

  /** Asks the teacher for the batch, takes the missing rows and stores them for good. */
  private void compute(VlaBatch batch, List<Integer> missing, ByteBuffer target)
      throws IOException {
    Tensor features = teacher.features(batch).to(ScalarType.BFloat16).cpu().contiguous();
    asked += batch.images().size();
    FeatureKind kind = store.kind();
    if (features.dim() != 3
        || features.size(0) != batch.images().size()
        || features.size(1) != kind.tokens()
        || features.size(2) != kind.width()) {
      throw new IllegalStateException(
          "teacher features must be [%d,%d,%d], found %d dimensions, %d values"
              .formatted(
                  batch.images().size(),
                  kind.tokens(),
                  kind.width(),
                  features.dim(),
                  features.numel()));
    }
    Finite.require("teacher features", features);
    ByteBuffer computed = bytes(features);
    for (int row : missing) {
      ImageKey key = batch.images().get(row);
      ByteBuffer twin = store.get(key); // Twice in one batch: both are the first.
      if (twin == null) {
        twin = row(computed, row);
        store.put(key, twin.duplicate());
      }
      row(target, row).put(twin);
    }
    store.force();
  }

  private ByteBuffer row(ByteBuffer all, int row) {
    int bytes = store.kind().entryBytes();
    return all.slice(row * bytes, bytes);
  }

  /** The memory of a contiguous tensor, valid as long as the tensor is. */
  private static ByteBuffer bytes(Tensor tensor) {
    long size = tensor.numel() * tensor.element_size();
    return new BytePointer(tensor.data_ptr()).capacity(size).asByteBuffer();
  }

  @Override
  public void close() {
    try (teacher) {
      store.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }
}
