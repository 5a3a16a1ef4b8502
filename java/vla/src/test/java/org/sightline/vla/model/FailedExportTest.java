package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.FailedWrites;
import org.sightline.vla.checkpoint.CheckpointExport;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;

/** A folder that cannot be written leaves nothing, whichever write fails. */
class FailedExportTest {
  private static final OpenVlaConfig TINY = TinyModels.config();

  @TempDir private Path folder;

  @Test
  void everyWrite() throws Exception {
    Path base = folder.resolve("base");
    FailedWrites.of(folder, () -> write(base, 20_000));
    Path output = folder.resolve("output");
    try (HuggingFaceCheckpoint model = HuggingFaceCheckpoint.open(base)) {
      FailedWrites.of(
          folder,
          () ->
              CheckpointExport.write(
                  model, null, output, Long.MAX_VALUE, Device.CPU, tensor -> {}));
    }
    try (HuggingFaceCheckpoint written = HuggingFaceCheckpoint.open(output)) {
      assertEquals(TINY, written.config());
    }
  }

  private static void write(Path base, long shard) throws IOException {
    HuggingFaceCheckpoint.write(
        base, TINY, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, shard);
  }
}
