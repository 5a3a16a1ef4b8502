package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CountDownLatch;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.sightline.binding.Lifetime;

class SightlineTest {
  @Test
  void tellsVersionAndBackends() {
    assertEquals("0.1.0", Sightline.version());
    assertTrue(Sightline.commit().matches("[0-9a-f]{40}|unknown"), Sightline.commit());
    Backend cpu = Sightline.cpu();
    assertTrue(cpu.isAvailable(), cpu::toString);
    assertEquals("", cpu.unavailabilityCause());
    assertFalse(cpu.implementation().isEmpty());
    assertTrue(cpu.maxThreads() >= 1);
    assertSame(cpu, cpu.ensureAvailable());
    assertEquals(0, Pointer.maxPhysicalBytes());
  }

  @Test
  void saysWhyCudaIsNotAvailable() {
    Backend cuda = Sightline.cuda();
    assertEquals(cuda.isAvailable(), cuda.unavailabilityCause().isEmpty(), cuda::toString);
    if (!cuda.isAvailable()) {
      UnsupportedOperationException e =
          assertThrows(UnsupportedOperationException.class, cuda::ensureAvailable);
      assertEquals("backend cuda is not available: " + cuda.unavailabilityCause(), e.getMessage());
    }
  }

  @Test
  void closingWaitsForUsers() throws InterruptedException {
    Lifetime lifetime = new Lifetime("Thing");
    CountDownLatch inside = new CountDownLatch(1);
    StringBuffer order = new StringBuffer();
    Thread user =
        new Thread(
            () ->
                lifetime.use(
                    () -> {
                      inside.countDown();
                      sleep(100);
                      order.append("used ");
                      return null;
                    }));
    user.start();
    inside.await();
    lifetime.close(() -> order.append("closed"));
    user.join();
    assertEquals("used closed", order.toString());
    IllegalStateException e =
        assertThrows(IllegalStateException.class, () -> lifetime.use(() -> null));
    assertTrue(e.getMessage().startsWith("Thing is closed; it was closed at "), e::getMessage);
    // A use that was refused holds nothing.
    lifetime.close(() -> order.append(" twice"));
    assertEquals("used closed", order.toString());
    Lifetime own = new Lifetime("Own");
    assertThrows(
        IllegalStateException.class,
        () ->
            own.use(
                () -> {
                  own.close(() -> {});
                  return null;
                }));
  }

  private static void sleep(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
