package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CudaPartTest {
  @TempDir private Path folder;

  @Test
  void whatIsThereHasItsVersionAndWhatIsNotItsPackage() throws IOException {
    Path real = Files.createFile(folder.resolve("libcudart.so.13.0.96"));
    Path link = Files.createSymbolicLink(folder.resolve("libcudart.so.13"), real);
    Path bare = Files.createFile(folder.resolve("libcuda.so.1"));
    Files.createFile(folder.resolve("libcublas.so.12")); // Another major version.
    List<CudaPart> parts = CudaPart.in(List.of(folder.resolve("none"), folder));
    assertEquals(
        List.of(
            "1, " + bare,
            "13.0.96, " + link,
            "missing: it comes with cuda-cupti-13-0",
            "missing: it comes with libcublas-13-0",
            "missing: it comes with libcufft-13-0",
            "missing: it comes with libcurand-13-0",
            "missing: it comes with libcusparse-13-0",
            "missing: it comes with libcusolver-13-0",
            "missing: it comes with libcufile-13-0",
            "missing: it comes with libcudnn9-cuda-13",
            "missing: it comes with libnccl2"),
        parts.stream().map(CudaPart::describe).toList());
  }

  @Test
  void doctorListsThem() {
    String told = Cli.succeed("doctor").out();
    for (CudaPart part : CudaPart.ofMachine()) {
      assertTrue(told.contains("  %-18s %s\n".formatted(part.name(), part.describe())), told);
    }
    assertEquals(13, Cli.run("doctor --json").json().getAsJsonArray("cuda_parts").size());
  }
}
