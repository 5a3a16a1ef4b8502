package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Threads use an object that another one closes: they finish, or are told that it is closed. What
 * would go wrong otherwise is the end of this JVM. The profile {@code nightly} looks longer.
 */
class CloseRaceTest {
  private static final double SECONDS =
      Double.parseDouble(System.getProperty("sightline.race.seconds", "0.7"));
  private static final int THREADS = 3;

  private record Race(String name, Supplier<List<AutoCloseable>> make, Use use) {
    @Override
    public String toString() {
      return name;
    }
  }

  private interface Use {
    void run(List<AutoCloseable> objects);
  }

  @BeforeAll
  static void load() {
    Sightline.load();
  }

  private static Stream<Race> races() {
    return Stream.of(
        new Race("lossAndGradient", () -> loss(false), CloseRaceTest::bareLoss),
        new Race("AlignmentLoss.forward", () -> loss(false), CloseRaceTest::differentiatedLoss),
        new Race("trainable projector", () -> loss(true), CloseRaceTest::differentiatedLoss),
        new Race("LoraLinear.forward", CloseRaceTest::layers, CloseRaceTest::stacked),
        new Race("LoraLinear's checks", CloseRaceTest::layers, CloseRaceTest::refused),
        new Race("LoraLinear.merge", CloseRaceTest::layers, CloseRaceTest::mergedAndBack),
        new Race("AdamW.step", CloseRaceTest::optimizer, CloseRaceTest::step));
  }

  @ParameterizedTest
  @MethodSource("races")
  void usersOfWhatIsClosedAreTold(Race race) throws InterruptedException {
    AtomicReference<List<AutoCloseable>> current = new AtomicReference<>(race.make().get());
    AtomicBoolean stop = new AtomicBoolean();
    AtomicLong finished = new AtomicLong();
    AtomicLong told = new AtomicLong();
    Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < THREADS; i++) {
      Thread thread =
          new Thread(
              () -> {
                while (!stop.get()) {
                  try (PointerScope scope = new PointerScope()) {
                    race.use().run(current.get());
                    finished.incrementAndGet();
                  } catch (IllegalStateException e) {
                    if (!e.getMessage().contains(" is closed; it was closed ")) {
                      failures.add(e);
                    }
                    told.incrementAndGet();
                  } catch (Throwable e) {
                    failures.add(e);
                  }
                }
              });
      thread.start();
      threads.add(thread);
    }
    long end = System.nanoTime() + (long) (SECONDS * 1e9);
    // On a busy machine longer, until both have been seen.
    while (failures.isEmpty()
        && (System.nanoTime() < end || finished.get() == 0 || told.get() == 0)) {
      close(current.getAndSet(race.make().get()));
    }
    stop.set(true);
    for (Thread thread : threads) {
      thread.join(60_000);
      assertTrue(!thread.isAlive(), () -> "stuck at " + List.of(thread.getStackTrace()));
    }
    close(current.get());
    assertEquals(List.of(), List.copyOf(failures));
  }

  private static void close(List<AutoCloseable> objects) {
    for (AutoCloseable object : objects) {
      try {
        object.close();
      } catch (Exception e) {
        throw new AssertionError(e);
      }
    }
  }

  /** The loss, then its projector, which a user may close first. */
  private static List<AutoCloseable> loss(boolean trainable) {
    AlignmentProjector projector =
        new AlignmentProjector(
            new ProjectorConfig(8, 6, 5, trainable, trainable ? 0.1 : 0, DType.FLOAT32, 1));
    return List.of(projector, new AlignmentLoss(projector));
  }

  private static void bareLoss(List<AutoCloseable> objects) {
    ((AlignmentLoss) objects.get(1))
        .lossAndGradient(
            torch.randn(2, 6, 8),
            1,
            torch.randn(2, 4, 5),
            null,
            torch.zeros(),
            null,
            torch.zeros(2, 6, 8));
  }

  private static void differentiatedLoss(List<AutoCloseable> objects) {
    Tensor hidden = torch.randn(2, 6, 8).set_requires_grad(true);
    ((AlignmentLoss) objects.get(1)).forward(hidden, 1, torch.randn(2, 4, 5)).loss().backward();
  }

  private static List<AutoCloseable> layers() {
    List<AutoCloseable> layers = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      try (PointerScope scope = new PointerScope()) {
        layers.add(new LoraLinear(torch.randn(6, 5), null, LoraConfig.of(2, 2), DType.FLOAT32, i));
      }
    }
    return layers;
  }

  private static void stacked(List<AutoCloseable> objects) {
    Tensor x = torch.randn(3, 5).set_requires_grad(true);
    LoraLinear a = (LoraLinear) objects.get(0);
    LoraLinear b = (LoraLinear) objects.get(1);
    boolean turned = System.nanoTime() % 2 == 0;
    LoraLinear.forward(x, turned ? List.of(b, a) : List.of(a, b)).get(0).sum().backward();
  }

  /** Nothing but the checks, again and again: the shortest way from one to the next. */
  private static void refused(List<AutoCloseable> objects) {
    LoraLinear layer = (LoraLinear) objects.get(0);
    Tensor columns = torch.randn(3, 4);
    for (int i = 0; i < 200; i++) {
      try {
        layer.forward(columns);
      } catch (IllegalArgumentException e) {
        continue;
      }
      throw new AssertionError("4 columns for 5 were taken");
    }
  }

  private static void mergedAndBack(List<AutoCloseable> objects) {
    LoraLinear layer = (LoraLinear) objects.get(0);
    Tensor x = torch.randn(3, 5);
    try {
      layer.merge();
    } catch (IllegalStateException e) {
      if (!e.getMessage().contains("already merged")) {
        throw e;
      }
    }
    layer.forward(x);
    try {
      layer.unmerge();
    } catch (IllegalStateException e) {
      if (!e.getMessage().contains("not merged")) {
        throw e;
      }
    }
  }

  private static List<AutoCloseable> optimizer() {
    try (PointerScope scope = new PointerScope()) {
      Tensor parameter = torch.randn(4).set_requires_grad(true);
      parameter.mutable_grad().put(torch.randn(4));
      return List.of(new AdamW(List.of(parameter), AdamW.Config.defaults()));
    }
  }

  private static void step(List<AutoCloseable> objects) {
    AdamW optimizer = (AdamW) objects.get(0);
    optimizer.step();
    optimizer.state().values().forEach(Tensor::close);
  }
}
