package org.sightline.train.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.global.torch;
import org.sightline.AlignmentProjector;
import org.sightline.DType;
import org.sightline.Fuzz;
import org.sightline.FuzzTargets;
import org.sightline.ProjectorConfig;
import org.sightline.Sightline;
import org.sightline.train.ProjectorFile;

/** Spoiled files that runs leave. */
class RunFilesFuzzTest implements FuzzTargets {
  private static final Checkpointable PART =
      new Checkpointable() {
        @Override
        public String name() {
          return "part";
        }

        @Override
        public State state() {
          return new State(Map.of("a", torch.randn(3)), "{\"bytes\": 12, \"columns\": [\"a\"]}");
        }

        @Override
        public void restore(State state) {}
      };

  @Override
  public Stream<Fuzz> targets(Path folder) throws IOException {
    Sightline.load();
    CheckpointStore store = new CheckpointStore(folder.resolve("checkpoints"), 2);
    store.save(1, List.of(PART));
    Path damaged = folder.resolve("checkpoints").resolve("step-000000002");
    store.save(2, List.of(PART));
    Path projectors = folder.resolve("projectors.safetensors");
    try (AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(4, 3, 2))) {
      ProjectorFile.write(projectors, Map.of(1, projector));
    }
    return Stream.of(
        Fuzz.of("checkpoint-manifest", damaged.resolve("manifest.json"), f -> restore(store)),
        Fuzz.of(
            "checkpoint-state",
            damaged.resolve("state.json"),
            f ->
                CheckpointParts.read(
                    damaged, CheckpointParts.byName(List.of(PART)), warning -> {})),
        Fuzz.ofHeader("projectors", projectors, RunFilesFuzzTest::readProjectors));
  }

  /** One that is damaged is no end: the one before is there. */
  private static void restore(CheckpointStore store) throws IOException {
    if (store.restore(List.of(PART), warning -> {}).isEmpty()) {
      throw new AssertionError("nothing was restored");
    }
  }

  private static void readProjectors(Path file) throws IOException {
    try (PointerScope scope = new PointerScope()) {
      ProjectorFile.read(file, DType.FLOAT32).values().forEach(AlignmentProjector::close);
    }
  }
}
