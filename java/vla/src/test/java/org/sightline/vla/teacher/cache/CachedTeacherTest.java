package org.sightline.vla.teacher.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.DType;
import org.sightline.train.Teacher;
import org.sightline.vla.data.image.ImageKey;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.TeacherFile;
import org.sightline.vla.teacher.VisionTeacher;

class CachedTeacherTest {
  private static final FeatureKind KIND = new FeatureKind("t", "p", 3, 4);

  @TempDir Path folder;
  private PointerScope scope;

  @BeforeEach
  void openScope() {
    scope = new PointerScope();
  }

  @AfterEach
  void closeScope() {
    scope.close();
  }

  /** Features [B,3,4] that are sines of the pixels; remembers the batch sizes it was asked for. */
  private static class Sines implements Teacher<VlaBatch> {
    final List<Long> asked = new ArrayList<>();
    boolean closed;

    @Override
    public Tensor features(VlaBatch batch) {
      asked.add(batch.pixelValues().size(0));
      return batch.pixelValues().flatten(1, 3).narrow(1, 0, 12).sin().view(-1, 3, 4);
    }

    @Override
    public long width() {
      return 4;
    }

    @Override
    public void close() {
      closed = true;
    }
  }

  /** Row i shows the picture numbers[i]. */
  private static VlaBatch batch(boolean keyed, int... numbers) {
    float[] pixels = new float[numbers.length * 6 * 4];
    List<ImageKey> keys = new ArrayList<>();
    for (int i = 0; i < numbers.length; i++) {
      Random random = new Random(numbers[i]);
      for (int k = 0; k < 24; k++) {
        pixels[i * 24 + k] = random.nextFloat() * 6;
      }
      keys.add(StoreProcess.key(numbers[i]));
    }
    Tensor ids = torch.zeros(numbers.length, 1);
    return new VlaBatch(
        Tensor.create(pixels, numbers.length, 6, 2, 2),
        ids,
        ids,
        ids,
        ids,
        keyed ? keys : List.of());
  }

  private CachedTeacher open(Teacher<VlaBatch> teacher, DType dtype) throws IOException {
    return new CachedTeacher(teacher, FeatureStore.open(folder, KIND), dtype);
  }

  private static Tensor expected(VlaBatch batch, DType dtype) {
    ScalarType type = dtype == DType.BFLOAT16 ? ScalarType.BFloat16 : ScalarType.Float;
    return new Sines().features(batch).to(ScalarType.BFloat16).to(type);
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void asksOnceForEachPicture(DType dtype) throws IOException {
    Sines sines = new Sines();
    try (CachedTeacher teacher = open(sines, dtype)) {
      VlaBatch first = batch(true, 1, 2, 3);
      assertTrue(expected(first, dtype).equal(teacher.features(first)));
      assertEquals(List.of(3L), sines.asked);
      VlaBatch second = batch(true, 3, 4, 1, 4);
      assertTrue(expected(second, dtype).equal(teacher.features(second)));
      assertEquals(List.of(3L, 4L), sines.asked);
      assertEquals(new CachedTeacher.Counters(2, 5, 7, 0, 0), teacher.counters());
      assertEquals(2 / 7.0, teacher.counters().hitRate());
      assertEquals(4, teacher.store().size());
      VlaBatch third = batch(true, 4, 2);
      assertTrue(expected(third, dtype).equal(teacher.features(third)));
      assertEquals(2, sines.asked.size());
      assertEquals(4, teacher.width());
    }
    assertTrue(sines.closed);
    Sines again = new Sines();
    try (CachedTeacher teacher = open(again, dtype)) {
      VlaBatch all = batch(true, 4, 3, 2, 1);
      assertTrue(expected(all, dtype).equal(teacher.features(all)));
      assertEquals(List.of(), again.asked);
      assertEquals(1, teacher.counters().hitRate());
    }
  }

  @Test
  void picturesWithoutKeysAreAskedForEveryTime() throws IOException {
    Sines sines = new Sines();
    try (CachedTeacher teacher = open(sines, DType.FLOAT32)) {
      VlaBatch batch = batch(false, 1, 2);
      for (int i = 0; i < 2; i++) {
        assertTrue(expected(batch, DType.FLOAT32).equal(teacher.features(batch)));
      }
      assertEquals(List.of(2L, 2L), sines.asked);
      assertEquals(new CachedTeacher.Counters(0, 0, 0, 4, 0), teacher.counters());
      assertEquals(0, teacher.counters().hitRate());
    }
  }

  /** A shift by the row's number of the batch: what neighbours do to rounding, made visible. */
  private static final class Placed extends Sines {
    @Override
    public Tensor features(VlaBatch batch) {
      long rows = batch.pixelValues().size(0);
      return super.features(batch).add(torch.arange(new Scalar((double) rows)).view(-1, 1, 1));
    }
  }

  /**
   * A run of five batches is killed at every possible number of entries and done again from the
   * start of the batch it was in: every batch sees the bits of the run that was not killed.
   */
  @Test
  void aKilledRunSeesTheSameBitsAgain() throws IOException {
    int[][] run = {{1, 2, 3}, {4, 1, 5}, {6, 6, 2}, {5, 7, 6}, {3, 7, 8}};
    List<Tensor> whole = new ArrayList<>();
    List<Integer> stored = new ArrayList<>(List.of(0));
    Path index;
    try (CachedTeacher teacher = open(new Placed(), DType.FLOAT32)) {
      index = teacher.store().folder().resolve("index");
      for (int[] pictures : run) {
        whole.add(teacher.features(batch(true, pictures)));
        stored.add(teacher.store().size());
        assertEquals(32L * teacher.store().size(), Files.size(index), "durable when returned");
      }
    }
    byte[] full = Files.readAllBytes(index);
    for (int entries = 0; entries <= 8; entries++) {
      int at = 0;
      while (at < run.length - 1 && stored.get(at + 1) <= entries) {
        at++;
      }
      Files.write(index, Arrays.copyOf(full, 32 * entries));
      try (CachedTeacher teacher = open(new Placed(), DType.FLOAT32)) {
        for (int i = at; i < run.length; i++) {
          assertTrue(
              whole.get(i).equal(teacher.features(batch(true, run[i]))),
              "killed with " + entries + " entries, batch " + i);
        }
      }
    }
  }

  @Test
  void aRealTeachersFeaturesAreRoundedToBf16() throws IOException {
    Path file = folder.resolve("teacher.safetensors");
    TeacherFile.writeRandom(file, TeacherConfig.nano("random, seed 1"), 1);
    torch.manual_seed(5);
    VlaBatch batch = slice(torch.randn(6, 6, 84, 84), torch.zeros(6, 1), 0, 6);
    try (VisionTeacher plain = VisionTeacher.open(file, 6, DType.FLOAT32);
        CachedTeacher teacher =
            new CachedTeacher(
                VisionTeacher.open(file, 6, DType.FLOAT32),
                FeatureStore.open(folder, new FeatureKind("t", "p", 36, 128)),
                DType.FLOAT32)) {
      Tensor direct = plain.features(batch);
      Tensor first = teacher.features(batch);
      assertTrue(first.equal(teacher.features(batch)));
      // Half a unit in the last of bf16's eight bits, relative to each value.
      Tensor allowed = direct.abs().mul(new Scalar(1 / 256.0)).add(new Scalar(1e-30));
      assertTrue(first.sub(direct).abs().le(allowed).all().item_bool());
      assertTrue(first.sub(direct).abs().max().item_double() > 0);
    }
  }

  private static VlaBatch slice(Tensor pixels, Tensor ids, int first, int count) {
    List<ImageKey> keys = new ArrayList<>();
    for (int i = first; i < first + count; i++) {
      keys.add(StoreProcess.key(i));
    }
    Tensor none = ids.narrow(0, first, count);
    return new VlaBatch(pixels.narrow(0, first, count), none, none, none, none, keys);
  }

  @Test
  void aStoreOfAnotherShapeIsRefused() throws IOException {
    try (FeatureStore store = FeatureStore.open(folder, new FeatureKind("t", "p", 3, 5))) {
      assertEquals(
          "store must have the teacher's width 4, found 5",
          assertThrows(
                  IllegalArgumentException.class,
                  () -> new CachedTeacher(new Sines(), store, DType.FLOAT32))
              .getMessage());
    }
    try (CachedTeacher teacher =
        new CachedTeacher(
            new Sines(),
            FeatureStore.open(folder, new FeatureKind("t", "p", 2, 4)),
            DType.FLOAT32)) {
      assertEquals(
          "teacher features must be [1,2,4], found 3 dimensions, 12 values",
          assertThrows(IllegalStateException.class, () -> teacher.features(batch(true, 1)))
              .getMessage());
    }
  }

  /**
   * Neither kept, where they would spoil every run to come, nor given from where they were kept.
   */
  @Test
  void featuresThatAreNotFiniteAreRefused() throws IOException {
    Teacher<VlaBatch> broken =
        new Sines() {
          @Override
          public Tensor features(VlaBatch batch) {
            return super.features(batch).mul_(new Scalar(Double.NaN));
          }
        };
    VlaBatch batch = batch(true, 1);
    try (CachedTeacher teacher = open(broken, DType.FLOAT32)) {
      var e = assertThrows(IllegalArgumentException.class, () -> teacher.features(batch));
      assertEquals("teacher features must be finite, found NaN at [0, 0, 0]", e.getMessage());
      assertEquals(0, teacher.store().size());
      byte[] stored = new byte[KIND.entryBytes()];
      Arrays.fill(stored, (byte) 0xff); // a NaN of bf16
      teacher.store().put(batch.images().get(0), ByteBuffer.wrap(stored));
      e = assertThrows(IllegalArgumentException.class, () -> teacher.features(batch));
      assertTrue(e.getMessage().startsWith("teacher features in " + folder), e.getMessage());
    }
  }

  /** Ten thousand lookups leave native memory where it was. */
  @Test
  void lookupsLeaveNothingBehind() throws IOException {
    try (CachedTeacher teacher = open(new Sines(), DType.FLOAT32)) {
      VlaBatch batch = batch(true, 1, 2, 3, 4);
      long before = 0;
      for (int i = 0; i < 10_000; i++) {
        try (PointerScope step = new PointerScope()) {
          teacher.features(batch);
        }
        if (i == 1000) {
          before = org.bytedeco.javacpp.Pointer.totalCount();
        }
      }
      long after = org.bytedeco.javacpp.Pointer.totalCount();
      assertTrue(after <= before + 50, before + " pointers, then " + after);
    }
  }
}
