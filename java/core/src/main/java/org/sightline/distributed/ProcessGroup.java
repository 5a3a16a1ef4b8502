package org.sightline.distributed;

import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.javacpp.chrono.Milliseconds;
import org.bytedeco.pytorch.AllreduceOptions;
import org.bytedeco.pytorch.Backend;
import org.bytedeco.pytorch.BroadcastOptions;
import org.bytedeco.pytorch.ProcessGroupGloo;
import org.bytedeco.pytorch.ReduceOp;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.Work;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_gloo;
import org.bytedeco.pytorch.global.torch_nccl;
import org.bytedeco.pytorch.nccl.ProcessGroupNCCL;
import org.sightline.Checks;
import org.sightline.Sightline;
import org.sightline.binding.Lifetime;
import org.sightline.binding.Scopes;

/**
 * Processes that exchange tensors, as {@code torch.distributed}: CPU tensors through Gloo, CUDA
 * tensors through NCCL. All processes make the same calls in the same order, each from one thread.
 *
 * <p>Each call first compares what the processes are about to do, some 0.1 ms on one machine: where
 * they differ, all of them get a {@link DistributedException} that names the rank, nothing is
 * changed and the group goes on. Where a process ends, stops or is too slow, the others get one
 * that names it; the group is of no more use then. Thread-safe.
 */
public final class ProcessGroup implements AutoCloseable {
  private static final String[] CALLS = {"allReduce", "broadcast", "allGather", "barrier"};

  private final Lifetime lifetime = new Lifetime("ProcessGroup");
  private final Rendezvous where;
  private final Peers peers;
  private final Backend gloo;
  private Backend nccl;

  private ProcessGroup(Rendezvous where, Peers peers, Backend gloo) {
    this.where = where;
    this.peers = peers;
    this.gloo = gloo;
  }

  /**
   * Meets the other processes.
   *
   * @throws DistributedException if a rank does not come within the timeout or is there twice, the
   *     processes count themselves differently, or the address cannot be used
   */
  public static ProcessGroup open(Rendezvous where) {
    Sightline.load();
    Loader.load(torch_gloo.class);
    Peers peers = Peers.meet(where);
    try (PointerScope scope = new PointerScope()) {
      var options = ProcessGroupGloo.Options.create(new Milliseconds(where.timeout().toMillis()));
      options.devices().push_back(ProcessGroupGloo.createDeviceForHostname(ownAddress(where)));
      Backend gloo = new ProcessGroupGloo(peers.store(), where.rank(), where.worldSize(), options);
      return new ProcessGroup(where, peers, Scopes.own(gloo));
    } catch (RuntimeException e) {
      DistributedException failure = peers.failure("open", e);
      peers.close();
      throw failure;
    }
  }

  /** The address by which this machine reaches rank 0, and so the others reach it. */
  private static String ownAddress(Rendezvous where) {
    try (DatagramSocket probe = new DatagramSocket()) {
      probe.connect(new InetSocketAddress(where.masterAddress(), where.masterPort()));
      InetAddress own = probe.getLocalAddress();
      return own.isAnyLocalAddress() ? where.masterAddress() : own.getHostAddress();
    } catch (SocketException e) {
      throw new IllegalStateException("no way to " + where.masterAddress(), e);
    }
  }

  public int rank() {
    return where.rank();
  }

  public int worldSize() {
    return where.worldSize();
  }

  /** Among the processes of this machine. */
  public int localRank() {
    return where.localRank();
  }

  /**
   * Reduces in place: afterwards all processes hold the same.
   *
   * @param tensor contiguous, of the same dtype and number of elements everywhere
   */
  public void allReduce(Tensor tensor, Reduction reduction) {
    call(
        0,
        tensor,
        reduction.ordinal(),
        () -> {
          AllreduceOptions options = new AllreduceOptions();
          options.reduceOp(new ReduceOp(reduction.type));
          return backend(tensor).allreduce(new TensorVector(tensor), options);
        });
  }

  /**
   * Copies the tensor of {@code root} into those of all.
   *
   * @param tensor contiguous, of the same dtype and number of elements everywhere
   */
  public void broadcast(Tensor tensor, int root) {
    Checks.index("root", root, worldSize() - 1);
    call(
        1,
        tensor,
        root,
        () -> {
          BroadcastOptions options = new BroadcastOptions().rootRank(root).rootTensor(0);
          return backend(tensor).broadcast(new TensorVector(tensor), options);
        });
  }

  /**
   * The tensors of all processes by rank.
   *
   * @param tensor contiguous, of the same dtype and number of elements everywhere
   * @return [worldSize, *shape], the same everywhere
   */
  public Tensor allGather(Tensor tensor) {
    long[] shape = new long[(int) tensor.dim() + 1];
    shape[0] = worldSize();
    for (int i = 1; i < shape.length; i++) {
      shape[i] = tensor.size(i - 1);
    }
    Tensor all = tensor.new_empty(shape);
    call(2, tensor, 0, () -> backend(tensor)._allgather_base(all.view(-1), tensor.view(-1)));
    return all;
  }

  /** The texts of all processes by rank, the same everywhere. */
  public List<String> allGather(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    try (PointerScope scope = new PointerScope()) {
      long[] lengths = longs(allGather(Tensor.create(new long[] {bytes.length})));
      int longest = Math.toIntExact(Arrays.stream(lengths).max().orElseThrow());
      Tensor all = allGather(Tensor.create(Arrays.copyOf(bytes, Math.max(1, longest))));
      List<String> texts = new ArrayList<>();
      for (int rank = 0; rank < lengths.length; rank++) {
        byte[] row = new byte[(int) lengths[rank]];
        new BytePointer(all.select(0, rank).data_ptr()).get(row);
        texts.add(new String(row, StandardCharsets.UTF_8));
      }
      return texts;
    }
  }

  /** Returns when all processes have called it. */
  public void barrier() {
    lifetime.useAlone(() -> agree(3, 0, 0, 0));
  }

  private void call(int call, Tensor tensor, int detail, Supplier<Work> work) {
    if (!tensor.is_contiguous()) {
      throw new IllegalArgumentException("tensor must be contiguous, found one that is not");
    }
    if (!tensor.is_cpu() && !tensor.is_cuda()) {
      throw new IllegalArgumentException(
          "tensor must be on the CPU or a GPU, found " + org.sightline.Device.of(tensor));
    }
    lifetime.useAlone(
        () -> {
          agree(call, tensor.scalar_type().value, tensor.numel(), detail);
          if (tensor.numel() > 0) {
            await(CALLS[call], work);
          }
        });
  }

  /** Gloo ends the process where sizes differ: no data is exchanged before the calls are alike. */
  private void agree(int call, int dtype, long elements, int detail) {
    long[] own = {call, dtype, elements, detail};
    try (PointerScope scope = new PointerScope()) {
      Tensor mine = Tensor.create(own);
      Tensor all = mine.new_empty((long) worldSize() * own.length);
      await(CALLS[call], () -> gloo._allgather_base(all, mine));
      long[] found = longs(all);
      for (int rank = 0; rank < worldSize(); rank++) {
        long[] other = Arrays.copyOfRange(found, rank * own.length, (rank + 1) * own.length);
        if (!Arrays.equals(own, other)) {
          throw new DistributedException(
              "rank %d calls %s, rank %d %s"
                  .formatted(rank(), described(own), rank, described(other)),
              null);
        }
      }
    }
  }

  private static String described(long[] call) {
    String name = CALLS[(int) call[0]];
    return switch (name) {
      case "barrier" -> name;
      case "allReduce" -> tensors(call) + " by " + Reduction.values()[(int) call[3]];
      case "broadcast" -> tensors(call) + " from rank " + call[3];
      default -> tensors(call);
    };
  }

  private static String tensors(long[] call) {
    ScalarType dtype =
        Arrays.stream(ScalarType.values())
            .filter(type -> type.value == (byte) call[1])
            .findFirst()
            .orElseThrow();
    return "%s of %d %s".formatted(CALLS[(int) call[0]], call[2], dtype);
  }

  private void await(String call, Supplier<Work> work) {
    try (PointerScope scope = new PointerScope()) {
      work.get()._wait();
    } catch (RuntimeException e) {
      throw peers.failure(call, e);
    }
  }

  private Backend backend(Tensor tensor) {
    if (tensor.is_cpu()) {
      return gloo;
    }
    if (nccl == null) {
      Loader.load(torch_nccl.class);
      nccl = Scopes.own(new ProcessGroupNCCL(peers.store(), rank(), worldSize()));
    }
    return nccl;
  }

  private static long[] longs(Tensor tensor) {
    long[] values = new long[Math.toIntExact(tensor.numel())];
    new LongPointer(tensor.data_ptr_long()).get(values);
    return values;
  }

  @Override
  public void close() {
    lifetime.close(
        () -> {
          if (nccl != null) {
            nccl.close();
          }
          gloo.close();
          peers.close();
        });
  }
}
