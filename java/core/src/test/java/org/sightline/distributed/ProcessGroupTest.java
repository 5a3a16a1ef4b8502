package org.sightline.distributed;

import static org.bytedeco.pytorch.global.torch.zeros;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Ranks are threads here; {@link EndedProcessTest} has processes. */
class ProcessGroupTest {
  private static final Duration PATIENCE = Duration.ofMinutes(2);

  static int freePort() {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  /** What {@code body} returns on each rank; a rank's exception is its own. */
  private static <T> List<CompletableFuture<T>> together(
      List<Rendezvous> ranks, Function<ProcessGroup, T> body) {
    List<CompletableFuture<T>> results = new ArrayList<>();
    for (Rendezvous where : ranks) {
      CompletableFuture<T> result = new CompletableFuture<>();
      results.add(result);
      new Thread(
              () -> {
                try (PointerScope scope = new PointerScope();
                    ProcessGroup group = ProcessGroup.open(where)) {
                  result.complete(body.apply(group));
                  group.barrier(); // Rank 0 keeps the store until nobody asks for it.
                } catch (RuntimeException | Error e) {
                  result.completeExceptionally(e);
                }
              })
          .start();
    }
    return results;
  }

  private static <T> List<CompletableFuture<T>> together(
      int world, Function<ProcessGroup, T> body) {
    int port = freePort();
    List<Rendezvous> ranks = new ArrayList<>();
    for (int rank = 0; rank < world; rank++) {
      ranks.add(Rendezvous.local(rank, world, port, PATIENCE));
    }
    return together(ranks, body);
  }

  private static <T> List<T> results(List<CompletableFuture<T>> ranks) {
    return ranks.stream().map(CompletableFuture::join).toList();
  }

  private static DistributedException failure(CompletableFuture<?> rank) {
    Throwable cause = assertThrows(ExecutionException.class, rank::get).getCause();
    assertEquals(DistributedException.class, cause.getClass(), cause::toString);
    return (DistributedException) cause;
  }

  private static float[] values(int rank) {
    float[] values = new float[1000];
    Random random = new Random(rank);
    for (int i = 0; i < values.length; i++) {
      values[i] = random.nextInt(64) - 32; // Sums of these are exact, in bf16 too.
    }
    return values;
  }

  private static float[] floats(Tensor tensor) {
    float[] values = new float[(int) tensor.numel()];
    new FloatPointer(tensor.to(ScalarType.Float).contiguous().data_ptr_float()).get(values);
    return values;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4})
  void allHoldWhatAllReducedCopiedAndGathered(int world) {
    float[] sum = new float[1000];
    float[] least = new float[1000];
    float[] most = new float[1000];
    for (int i = 0; i < 1000; i++) {
      for (int rank = 0; rank < world; rank++) {
        float value = values(rank)[i];
        sum[i] += value;
        least[i] = rank == 0 ? value : Math.min(least[i], value);
        most[i] = rank == 0 ? value : Math.max(most[i], value);
      }
    }
    ScalarType[] dtypes = {
      ScalarType.Float, ScalarType.BFloat16, ScalarType.Double, ScalarType.Long
    };
    List<Boolean> done =
        results(
            together(
                world,
                group -> {
                  for (ScalarType dtype : dtypes) {
                    Tensor own = Tensor.create(values(group.rank())).to(dtype);
                    for (Reduction reduction : Reduction.values()) {
                      Tensor reduced = own.clone();
                      group.allReduce(reduced, reduction);
                      float[] expected =
                          switch (reduction) {
                            case SUM -> sum;
                            case MIN -> least;
                            case MAX -> most;
                          };
                      assertArrayEquals(expected, floats(reduced), dtype + " " + reduction);
                    }
                    Tensor copied = own.clone();
                    group.broadcast(copied, world - 1);
                    assertArrayEquals(values(world - 1), floats(copied));
                    Tensor all = group.allGather(own.view(10, 100));
                    assertArrayEquals(
                        new long[] {world, 10, 100},
                        new long[] {all.size(0), all.size(1), all.size(2)});
                    for (int rank = 0; rank < world; rank++) {
                      assertArrayEquals(values(rank), floats(all.select(0, rank)));
                    }
                  }
                  Tensor empty = zeros(0);
                  group.allReduce(empty, Reduction.SUM);
                  return true;
                }));
    assertEquals(world, done.size());
  }

  @Test
  void textsOfAnyLengthAreGathered() {
    String[] texts = {"", "Größe 31", "x".repeat(5000)};
    for (List<String> found : results(together(3, group -> group.allGather(texts[group.rank()])))) {
      assertEquals(List.of(texts), found);
    }
  }

  @Test
  void differentCallsAreNamedOnAllRanksAndTheGroupGoesOn() {
    List<CompletableFuture<List<String>>> ranks =
        together(
            2,
            group -> {
              boolean first = group.rank() == 0;
              List<Runnable> calls =
                  List.of(
                      () -> group.allReduce(zeros(first ? 4 : 100), Reduction.SUM),
                      () ->
                          group.allReduce(
                              zeros(4).to(first ? ScalarType.Float : ScalarType.Double),
                              Reduction.SUM),
                      () -> group.allReduce(zeros(4), first ? Reduction.SUM : Reduction.MAX),
                      () -> group.broadcast(zeros(4), group.rank()),
                      first ? group::barrier : () -> group.allGather(zeros(2, 2)));
              List<String> messages = new ArrayList<>();
              for (Runnable call : calls) {
                messages.add(assertThrows(DistributedException.class, call::run).getMessage());
              }
              Tensor still = zeros(3).add_(new org.bytedeco.pytorch.Scalar(1.0));
              group.allReduce(still, Reduction.SUM);
              assertArrayEquals(new float[] {2, 2, 2}, floats(still));
              return messages;
            });
    List<List<String>> found = results(ranks);
    assertEquals(
        List.of(
            "rank 0 calls allReduce of 4 Float by SUM, rank 1 allReduce of 100 Float by SUM",
            "rank 0 calls allReduce of 4 Float by SUM, rank 1 allReduce of 4 Double by SUM",
            "rank 0 calls allReduce of 4 Float by SUM, rank 1 allReduce of 4 Float by MAX",
            "rank 0 calls broadcast of 4 Float from rank 0, rank 1 broadcast of 4 Float from rank"
                + " 1",
            "rank 0 calls barrier, rank 1 allGather of 4 Float"),
        found.get(0));
    assertEquals(
        "rank 1 calls allReduce of 100 Float by SUM, rank 0 allReduce of 4 Float by SUM",
        found.get(1).get(0));
  }

  @Test
  void whatCannotBeSentIsRefusedByItsRankAlone() {
    List<String> messages =
        results(
            together(
                1,
                group ->
                    assertThrows(
                            IllegalArgumentException.class,
                            () -> group.allReduce(zeros(3, 4).t(), Reduction.SUM))
                        .getMessage()));
    assertEquals(List.of("tensor must be contiguous, found one that is not"), messages);
    Tensor meta = org.sightline.Device.META.move(zeros(3));
    assertEquals(
        List.of("tensor must be on the CPU or a GPU, found meta"),
        results(
            together(
                1,
                group ->
                    assertThrows(IllegalArgumentException.class, () -> group.allGather(meta))
                        .getMessage())));
    assertEquals(
        List.of("root must be in 0..0, found 1"),
        results(
            together(
                1,
                group ->
                    assertThrows(IllegalArgumentException.class, () -> group.broadcast(zeros(1), 1))
                        .getMessage())));
  }

  @Test
  void ranksThatDoNotComeAreNamed() {
    Rendezvous only = Rendezvous.local(1, 4, freePort(), Duration.ofMillis(500));
    Rendezvous first = Rendezvous.local(0, 4, only.masterPort(), Duration.ofMillis(500));
    String message = failure(together(List.of(first), group -> 0).get(0)).getMessage();
    assertEquals(
        "rank 0 of 4 at " + first.address() + ": ranks 1, 2, 3 did not come within 500 ms",
        message);
    message = failure(together(List.of(only), group -> 0).get(0)).getMessage();
    assertTrue(
        message.startsWith("rank 1 of 4 cannot reach rank 0 at " + only.address() + ": "), message);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 3, 'rank 1 counts 3 processes', 'rank 0 counts 2 processes'",
    "0, 2, 'cannot listen on', 'cannot listen on'"
  })
  void disagreementEndsTheMeeting(int rank, int world, String first, String second) {
    int port = freePort();
    Duration limit = Duration.ofSeconds(3);
    List<CompletableFuture<Integer>> ranks =
        together(
            List.of(
                Rendezvous.local(0, 2, port, limit), Rendezvous.local(rank, world, port, limit)),
            group -> group.rank());
    String messages = failure(ranks.get(0)).getMessage() + failure(ranks.get(1)).getMessage();
    assertTrue(messages.contains(first) || messages.contains(second), messages);
  }

  @Test
  void aRankIsTakenOnce() {
    int port = freePort();
    Duration limit = Duration.ofSeconds(1); // Rank 0 keeps the store for longer.
    List<CompletableFuture<Integer>> ranks =
        together(
            List.of(
                Rendezvous.local(0, 3, port, limit.multipliedBy(4)),
                Rendezvous.local(1, 3, port, limit),
                Rendezvous.local(1, 3, port, limit)),
            group -> group.rank());
    String messages = failure(ranks.get(1)).getMessage() + failure(ranks.get(2)).getMessage();
    assertTrue(messages.contains("rank 1 is taken by another process"), messages);
    assertTrue(failure(ranks.get(0)).getMessage().contains("rank 2 did not come"));
  }

  @Test
  void aSlowRankIsNotSaidToHaveEnded() {
    int port = freePort();
    Duration limit = Duration.ofSeconds(2);
    CompletableFuture<Void> failed = new CompletableFuture<>();
    List<CompletableFuture<Integer>> ranks =
        together(
            List.of(Rendezvous.local(0, 2, port, limit), Rendezvous.local(1, 2, port, limit)),
            group -> {
              if (group.rank() == 1) {
                failed.join();
                return 1;
              }
              try {
                group.barrier();
                return 0;
              } finally {
                failed.complete(null);
              }
            });
    String message = failure(ranks.get(0)).getMessage();
    assertTrue(
        message.startsWith(
            "rank 0 of 2: barrier failed, all processes are alive; one may take longer than the"
                + " timeout of 2000 ms ("),
        message);
  }
}
