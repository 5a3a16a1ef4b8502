package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;

class ModulesTest {
  @TempDir private Path folder;

  /** A model keeps the very memory a file was read into, if the type is right. */
  @Test
  void aTensorThatIsHandedOverIsNotCopied() throws IOException {
    OpenVlaConfig tiny = TinyModels.config();
    HuggingFaceCheckpoint.write(
        folder.resolve("model"), tiny, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, 20_000);
    var addresses = new LinkedHashMap<String, Long>();
    try (HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(folder.resolve("model"));
        Modules modules =
            new Modules(
                new Weights() {
                  @Override
                  public Tensor get(ParameterSpec parameter) {
                    Tensor tensor = read.get(parameter);
                    addresses.put(parameter.name(), tensor.data_ptr().address());
                    return tensor;
                  }

                  @Override
                  public boolean handsOver() {
                    return read.handsOver();
                  }
                },
                Device.CPU,
                DType.FLOAT32,
                LoraPlan.none(),
                0)) {
      Tensor kept = modules.parameter("projector.fc2.bias", 32);
      assertEquals(addresses.get("projector.fc2.bias"), kept.data_ptr().address());
    }
  }
}
