package org.sightline;

import java.util.concurrent.CountDownLatch;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** A process that ends, as its argument says, while a daemon thread is within a long product. */
public final class ExitProbe {
  private static final int SIZE = 4000;
  static final int CODE = 7;

  private ExitProbe() {}

  public static void main(String[] args) throws InterruptedException {
    Sightline.load();
    CountDownLatch begun = new CountDownLatch(1);
    Thread worker = new Thread(() -> multiply(begun), "worker");
    worker.setDaemon(true);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
    worker.start();
    begun.await();
    while (!worker.getStackTrace()[0].getMethodName().equals("matmul")) {
      Thread.onSpinWait();
    }
    System.out.println("begun");
    switch (args[0]) {
      case "exit" -> System.exit(CODE);
      case "halt" -> Runtime.getRuntime().halt(CODE);
      case "wait" -> worker.join();
      default -> {} // The end of main.
    }
  }

  /** The first product starts OpenBLAS's threads; whoever waits goes on with the second one. */
  private static void multiply(CountDownLatch begun) {
    Tensor matrix = torch.randn(SIZE, SIZE);
    while (true) {
      try (PointerScope scope = new PointerScope()) {
        torch.matmul(matrix, matrix);
        begun.countDown();
      }
    }
  }
}
