package org.sightline.vla.cli;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.sightline.binding.SightlineConfig;

/**
 * A part of what a GPU needs on this machine, as {@code doctor} lists them: found by the name of
 * its library where a loader looks, not loaded.
 *
 * @param path of the library; null: it is missing
 * @param version as its file's name has it; null where that has none, or is missing
 * @param needs the package that brings it
 */
record CudaPart(String name, String path, String version, String needs) {
  private static final List<String> FOLDERS =
      List.of(
          "/usr/local/cuda/lib64",
          "/usr/lib/x86_64-linux-gnu",
          "/lib/x86_64-linux-gnu",
          "/usr/lib64",
          "/lib64",
          "/usr/lib/wsl/lib");

  /** In the order in which they build on each other. */
  static List<CudaPart> ofMachine() {
    String named = System.getenv("LD_LIBRARY_PATH");
    List<Path> folders = new ArrayList<>();
    Stream.concat(
            named == null ? Stream.of() : Stream.of(named.split(File.pathSeparator)),
            FOLDERS.stream())
        .filter(folder -> !folder.isEmpty())
        .map(Path::of)
        .forEach(folders::add);
    List<CudaPart> parts = new ArrayList<>(in(folders));
    String jar = "/org/bytedeco/pytorch/" + Loader.getPlatform() + "-gpu/libtorch_cuda.so";
    boolean there = CudaPart.class.getResource(jar) != null;
    parts.add(
        new CudaPart(
            "libtorch for CUDA",
            there ? jar : null,
            null,
            "org.sightline:sightline-gpu, or -Pgpu"));
    String own = Loader.getPlatform() + "/libsightline_cuda.so";
    there = SightlineConfig.class.getResource(own) != null;
    parts.add(new CudaPart("our kernels", there ? own : null, null, "a build where nvcc is"));
    return parts;
  }

  static List<CudaPart> in(List<Path> folders) {
    return List.of(
        of(folders, "driver", "libcuda.so.1", "NVIDIA's driver, 580 or newer (CUDA 13)"),
        of(folders, "CUDA runtime", "libcudart.so.13", "cuda-cudart-13-0"),
        of(folders, "CUPTI", "libcupti.so.13", "cuda-cupti-13-0"),
        of(folders, "cuBLAS", "libcublas.so.13", "libcublas-13-0"),
        of(folders, "cuFFT", "libcufft.so.12", "libcufft-13-0"),
        of(folders, "cuRAND", "libcurand.so.10", "libcurand-13-0"),
        of(folders, "cuSPARSE", "libcusparse.so.12", "libcusparse-13-0"),
        of(folders, "cuSOLVER", "libcusolver.so.12", "libcusolver-13-0"),
        of(folders, "cuFile", "libcufile.so.0", "libcufile-13-0"),
        of(folders, "cuDNN", "libcudnn.so.9", "libcudnn9-cuda-13"),
        of(folders, "NCCL", "libnccl.so.2", "libnccl2"));
  }

  private static CudaPart of(List<Path> folders, String name, String library, String needs) {
    for (Path folder : folders) {
      Path path = folder.resolve(library);
      if (Files.exists(path)) {
        return new CudaPart(name, path.toString(), version(path), needs);
      }
    }
    return new CudaPart(name, null, null, needs);
  }

  /** {@code libcudart.so.13} leads to {@code libcudart.so.13.0.96}. */
  private static String version(Path library) {
    try {
      String file = library.toRealPath().getFileName().toString();
      return file.contains(".so.") ? file.substring(file.indexOf(".so.") + 4) : null;
    } catch (IOException e) {
      return null;
    }
  }

  /** As a line of {@code doctor} says it. */
  String describe() {
    return path == null
        ? "missing: it comes with " + needs
        : (version == null ? "" : version + ", ") + path;
  }
}
